"""Says what came out: records of trials and comparisons enter, sentences, tables and pages leave.

The home of rich and Plotly; nothing here trains, searches or writes to MLflow.
"""
