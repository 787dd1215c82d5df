"""Loads what networks train on: a file, an array or the name of a data set enters, arrays as the networks see them leave.

The home of pyarrow's and scikit-learn's readers; what is computed from trained networks has no place here.
"""
