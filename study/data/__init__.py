"""Loads what networks train on: takes a file, an array or the name of a data set; returns arrays as the networks see them.

It alone uses pyarrow's and scikit-learn's readers. What is computed from trained networks doesn't belong here.
"""
