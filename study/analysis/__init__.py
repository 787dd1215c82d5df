"""Looks into trained networks: weights, losses and data enter, labels, distances and verdicts leave.

NumPy and SciPy alone; TensorFlow, Optuna and MLflow stay out, so that a record can be examined where none of them is loaded.
"""
