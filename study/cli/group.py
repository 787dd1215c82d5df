"""The group of commands other than training, their shared options, and JSON output."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from typing import Any

import click

from study import locations, sqlite
from study.reporting import streams

STORAGE = click.option("--storage", help="Optuna's storage; the default is MLP_STUDY_STORAGE, else optuna.db in this folder.")
TRACKING = click.option(
    "--tracking-uri", help="The MLflow store; the default is MLFLOW_TRACKING_URI, else mlflow.db in this folder."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")


@click.group()
def commands() -> None:
    """Look at what was trained."""


def best_of(storage: str | None) -> Callable[[str], int | None]:
    """Return a function that finds a study's best trial by the study's name; it returns None for an unknown study."""
    url = locations.storage(storage)

    def best(study_name: str) -> int | None:
        if not sqlite.is_there(url):
            return None
        from study.search import overview

        return overview.best(url, study_name)

    return best


def print_json(content: Any) -> None:
    import numpy as np

    def plain(value: Any) -> Any:
        """Convert a value for JSON: arrays to lists, and numbers that aren't finite to null."""
        if isinstance(value, np.ndarray):
            return plain(value.tolist())
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    # indented only for a person, since that takes several times as long
    text = json.dumps(plain(content), indent=2 if sys.stdout.isatty() else None, allow_nan=False)
    with streams.writing_output():
        click.echo(text)
