"""The real command in a test's folder, and what it has left in MLflow there."""

from __future__ import annotations

from mlflow import MlflowClient

from study import places
from study.cli import main


def run(*arguments: str) -> int:
    """The command's exit code."""
    try:
        main(list(arguments))
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def client() -> MlflowClient:
    return MlflowClient(places.tracking_uri(None))


def runs_of(kind: str) -> list:
    """The runs of this kind of the study named tiny."""
    experiment = client().get_experiment_by_name("tiny")
    return client().search_runs([experiment.experiment_id], f"tags.`mlp_study.kind` = '{kind}'", order_by=["attributes.run_name"])
