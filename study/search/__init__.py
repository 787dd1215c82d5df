"""Samples settings with Optuna: a space and the results of trials enter, the next trials' settings leave.

The home of Optuna and SQLAlchemy; nothing here trains a network or knows MLflow.
"""
