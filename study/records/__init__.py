"""What flows from the data to a study's end: frozen records of networks, data sets, cohorts, outcomes and trials.

They hold values and say what these mean, with R replicates first in every shape. What computes, draws or stores has no place here.
"""
