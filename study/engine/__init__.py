"""Trains all replicates of a trial at once: settings, data and seeds enter, legs of losses and trained networks leave.

The home of TensorFlow and Keras (`backend`), which nothing outside this package imports; it knows neither Optuna nor MLflow.
"""
