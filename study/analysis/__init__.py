"""Examines trained networks: takes weights, losses and data; returns labels, distances and verdicts.

It uses NumPy and SciPy alone, and scikit-learn for the baselines. It must not import TensorFlow, Optuna or MLflow, so that records
can be examined without them.
"""
