"""Frozen records of networks, data sets, cohorts, outcomes and trials, which flow from the data to a study's end.

They hold values and document them, with R replicates first in every shape. Nothing that computes, draws or stores belongs here.
"""
