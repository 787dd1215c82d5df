"""Views of a study in MLflow: states of the runs table and its charts, as the UI's own 'share' button keeps them in tags.

Their keys are those of MLflow 3.17's UI, which ignores unknown ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from study.tracking.schema import CONVERGENCE, FINGERPRINT, KIND, OF_REPLICATE, TRAIN_LOSS, VAL_LOSS, VAL_LOSS_MEAN, VERDICT

# of the trials, best first; and of the trials with their replicates, which the UI folds up only where runs lie in order of time
LEADERS, TREE = "mlp-study", "mlp-study-replicates"
TAG = "mlflow.sharedViewState."
SETTINGS = ("optimizer", "optimizer.learning_rate", "training.batch_size", "model.units")
METRICS = (VAL_LOSS_MEAN, "val_loss_halfwidth", "distance", "aligned", "disagreement")
TAGS = {CONVERGENCE: 180, VERDICT: 180, FINGERPRINT: 180}  # pixels
PIXELS = 8  # per letter
SECTION = "mlp-study"


def tags(settings: Sequence[str] = SETTINGS) -> dict[str, str]:
    """Return an experiment's tags for all views. settings: the parameters with columns and axes of their own."""
    columns = [
        *(f"metrics.`{key}`" for key in METRICS),
        *(f"params.`{key}`" for key in settings),
        *(f"tags.`{key}`" for key in TAGS),
    ]
    widths = {f"tags.`{key}`": width for key, width in TAGS.items()}
    widths |= {f"params.`{key}`": 40 + PIXELS * len(key) for key in settings}
    shared = {
        **_shown(columns),
        "columnWidths": widths,
        "runsHiddenMode": "SHOW_ALL",
        "compareRunSections": [{"uuid": SECTION, "name": "Study", "display": True, "isReordered": False}],
    }
    leaders = {
        "orderByKey": f"metrics.`{VAL_LOSS_MEAN}`",
        "orderByAsc": True,
        "searchFilter": f"tags.`{KIND}` != '{OF_REPLICATE}'",
        "compareRunCharts": [_curves(VAL_LOSS), _curves(TRAIN_LOSS), BARS, *_of_trials(settings)],
    }
    tree = {
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "compareRunCharts": [_curves(VAL_LOSS), _curves(TRAIN_LOSS), BARS],
        **_shown([f"metrics.`{VAL_LOSS}`", *columns]),  # of a replicate
    }
    return {f"{TAG}{name}": json.dumps(shared | state) for name, state in ((LEADERS, leaders), (TREE, tree))}


def _shown(columns: Sequence[str]) -> dict[str, Sequence[str]]:
    return {"selectedColumns": columns, "columnOrder": columns}


def page(experiment: str, view: str = LEADERS, *, charts: bool = False) -> str:
    """Return the address of the runs table, or of its charts, below the server's."""
    mode = "&compareRunsMode=CHART" if charts else ""
    return f"#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={view}{mode}"


def _chart(kind: str, name: str, **more: object) -> Mapping[str, Any]:
    return {"type": kind, "uuid": f"{SECTION}-{name}", "metricSectionId": SECTION, "runsCountToCompare": 100, **more}


BARS = _chart("BAR", "loss", metricKey=VAL_LOSS_MEAN)


def _curves(key: str) -> Mapping[str, Any]:
    """The chart of the replicates' losses by epoch."""
    drawn = {"lineSmoothness": 0, "scaleType": "log", "xAxisKey": "step", "useGlobalXaxisKey": True, "yAxisExpressions": []}
    return _chart("LINE", key, metricKey=key, selectedMetricKeys=[key], range={}, yAxisKey="metric", **drawn)


def _of_trials(settings: Sequence[str]) -> list[Mapping[str, Any]]:
    """The charts of trials: loss by settings, and what goes with a low one. A replicate among the runs would break the first."""
    loss = {"key": VAL_LOSS_MEAN, "type": "METRIC"}
    others = ("distance", "disagreement")
    return [
        _chart("PARALLEL", "settings", selectedParams=list(settings), selectedMetrics=[VAL_LOSS_MEAN], showAllRuns=True),
        *(_chart("SCATTER", key, xaxis={"key": key, "type": "METRIC"}, yaxis=loss) for key in others),
    ]
