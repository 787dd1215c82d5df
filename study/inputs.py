"""What a run was trained on, as a record names it: plain texts, the data's own and none of this machine's."""

from __future__ import annotations

import json
from pathlib import PurePath

from study import dataset
from study.records import Dataset
from study.settings.data import BreastCancer, Diabetes, Digits, Iris, Table, Wine
from study.settings.data import Data as Settings
from study.spec import TrialSpec

LOADED = (BreastCancer, Diabetes, Digits, Iris, Wine)
# what MLflow keeps of a digest, and of a table of thousands of columns what somebody may look at
DIGEST, MOST_COLUMNS, MOST_NAME = 36, 200, 100


def describe(spec: TrialSpec, data: Dataset) -> dict[str, str]:
    """name, digest, source_type, source, schema and profile, as MLflow's `Dataset` has them. data: of the first replicate.

    The digest is the beginning of the study's own (`dataset.digest`): of all rows as they came.
    """
    rows = {"training": len(data.x_train), "validation": len(data.x_val)}
    width = {"inputs": data.x_train.shape[1], "classes" if data.y_train.ndim == 1 else "targets": data.outputs}
    return {
        "name": PurePath(spec.data.path).name if isinstance(spec.data, Table) else spec.data.name,
        "digest": dataset.digest(spec)[:DIGEST],
        "schema": json.dumps({"mlflow_colspec": _columns(spec.data, data)}, ensure_ascii=False),
        "profile": json.dumps({"num_rows": sum(rows.values())} | rows | width),
    } | _source(spec.data)


def _source(data: Settings) -> dict[str, str]:
    if isinstance(data, Table):
        return {"source_type": "local", "source": json.dumps({"uri": PurePath(data.path).name})}
    origin = f"sklearn.datasets.load_{data.name}" if isinstance(data, LOADED) else f"mlp-study data={data.name}"
    return {"source_type": "code", "source": json.dumps({"tags": {"mlflow.source.name": origin}})}


def _columns(settings: Settings, data: Dataset) -> list[dict[str, object]]:
    """The targets first, so that they are seen, then the inputs."""
    if data.y_train.ndim == 1:
        targets = [(settings.target if isinstance(settings, Table) else "class", "string")]
    else:
        targets = [(name, "double") for name in data.target_names]
    columns = [(f"{name} (target)", kind) for name, kind in targets] + [(name, "double") for name in data.input_names]
    if len(columns) > MOST_COLUMNS:
        columns = [*columns[:MOST_COLUMNS], (f"… and {len(columns) - MOST_COLUMNS:,} more", "double")]
    return [{"name": name[:MOST_NAME], "type": kind, "required": True} for name, kind in columns]
