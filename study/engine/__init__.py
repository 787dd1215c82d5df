"""Trains all replicates of a trial at once: takes settings, data and seeds; returns legs of losses, and trained networks.

It alone imports TensorFlow and Keras, in `backend`. It must not know Optuna or MLflow.
"""
