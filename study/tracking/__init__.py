"""MLflow: an experiment a study, a run a trial, a child run a replicate. The only package that imports MLflow.

A trial's record first goes to a folder on disk (`spool`); a process of its own (`writer`) sends it on to MLflow. So a trial waits
for neither MLflow nor Python's lock, and what was told to the study is on disk even if everything is killed.
"""
