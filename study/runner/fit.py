"""Train one setting for a Python program, without records."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from study.config import composition, overrides
from study.data import dataset, kept_rows
from study.errors import BadInput
from study.reporting import study_results
from study.results import fitted
from study.results.fitted import Fitted
from study.runner import given_rows, tune
from study.runner.tune import one_at_a_time, undisturbed

# unless the settings say otherwise: no row is kept back for a last look, and each network chooses on other rows than its neighbours
BY_DEFAULT = {
    "data.test_fraction": "data.test_fraction=0",
    "replicates.": "replicates.vary=[init,order,data]",
    "training.motion": "training.motion=false",
}
BATCH_SIZE = "training.batch_size"
# of a search whose best setting is trained again
NOT_KEPT = ("tracking=none", "hydra.sweeper.baselines=false", "hydra.sweeper.settle=false")


@dataclass(frozen=True)
class Before:
    """A search whose best setting is fitted. name: of the study to keep; None leaves no records."""

    space: Mapping[str, object]
    n_trials: int | None
    name: str | None


def fit(
    rows: object | None,
    target: object | None,
    settings: Sequence[str],
    weights: object | None = None,
    before: Before | None = None,
) -> Fitted:
    """Train one setting. Arguments and errors as for `study.fit`. weights: what each row counts for, [n]."""
    with tempfile.TemporaryDirectory(prefix="mlp-study-") as folder, undisturbed():

        def keep(table: kept_rows.Table) -> Path:
            return kept_rows.keep(table) if before and before.name else kept_rows.keep(table, Path(folder))

        given = given_rows.lines(rows, target, weights, keep)
        defaults = [line for key, line in BY_DEFAULT.items() if not any(_key(line).startswith(key) for line in settings)]
        if before:
            # the search has the same rows; what its networks vary in is a study's own affair
            of_rows = [line for line in defaults if line.startswith("data.")]
            settings = [*settings, *_best(given, before, [*of_rows, *settings], folder)]
        with one_at_a_time:
            spec = composition.compose([*defaults, *given, *settings])
        if not any(_key(line) == BATCH_SIZE for line in settings) and spec.training.batch_size:
            # few rows are no fault of a caller's who didn't speak of batches
            least = min(len(dataset.load_replicate(spec, number).x_train) for number in spec.replicates.numbers)
            spec = replace(spec, training=replace(spec.training, batch_size=min(spec.training.batch_size, least)))
        from study.runner import trial

        return fitted.fitted(trial.train(spec))


def _best(given: Sequence[str], before: Before, settings: Sequence[str], folder: str) -> list[str]:
    """Return a search's best setting as overrides."""
    places = [f"hydra.sweeper.storage=sqlite:///{folder}/optuna.db", f"hydra.sweep.dir={folder}/multirun"]
    apart = [] if before.name else [*NOT_KEPT, *places]
    launched = tune.tune(given, before.space, before.n_trials, [*settings, *apart], before.name, progress=False)
    findings = study_results.read(launched.storage, launched.name)
    if findings.best is None:
        reasons = {record.reason for record in findings.records if record.reason}
        raise BadInput(f"no trial of the search is complete: {'; '.join(sorted(reasons))}")
    return overrides.assignments(findings.best.params, {})


def _key(line: str) -> str:
    return line.partition("=")[0].lstrip("+")
