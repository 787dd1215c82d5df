"""Records trials and replicates in MLflow, and reads them back: cohorts and their summaries enter, runs and their files leave.

The home of MLflow; nothing here trains a network or knows Optuna. A trial's record first goes to a folder on disk (`spool`); a
process of its own (`writer`) sends it on to MLflow. So a trial waits for neither MLflow nor Python's lock, and every result that
the study counts is on disk even if everything is killed.
"""
