"""Save and load a study's champion: the best trial's networks as one Keras model on unscaled data, which predicts their mean."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from study.analysis import fingerprints
from study.data import encoding, loading, splits
from study.data.rows import Rows
from study.data.scaling import by_replicate, learn_scaling
from study.errors import BadInput, Fault
from study.records.arrays import Array
from study.records.champion import ERRORS, THRESHOLD
from study.records.network import Network
from study.records.tracked import TrackedNetwork
from study.records.trial import TrialRecord
from study.reporting import report
from study.reporting.study_results import Findings
from study.results import measured, out_of_fold
from study.settings.data import CATEGORY, CLASSIFICATION, UserTable
from study.settings.rules import one_of_names
from study.settings.spec import TrialSpec, build
from study.tracking import schema

if TYPE_CHECKING:
    from study.engine.backend import keras
    from study.tracking.champion import Champion, Column
    from study.tracking.predicting import Predictor

EXAMPLE_ROWS, MOST_NAMES = 5, 20


@dataclass(frozen=True)
class Kept:
    """A champion: the networks of a trial, as the model of this id."""

    trial: int
    members: int
    model_id: str


def keep(findings: Findings, uri: str) -> Kept | None:
    """Save the best trial's networks with the study's run, unless they are there already. None if no trial completed.

    Raises StudyError on failure; the study itself is complete.
    """
    from study.tracking import champion, inspection, reader, store

    best = findings.best
    if best is None or best.summary is None:
        return None
    with inspection.errors(uri):
        opened = store.existing(uri)
        run_id = best.run_id or reader.run_of(opened, findings.name, best.number)
        if run_id is None:
            return None
        networks = reader.load_networks(opened, run_id)
        fingerprint = fingerprints.digest(Network.stack([tracked.network for tracked in networks]))
        model_id = champion.kept(opened, findings.name, fingerprint)
        if model_id is None:
            model_id = champion.keep(opened, findings.name, _champion(findings.name, best, run_id, fingerprint, networks))
    return Kept(best.number, len(networks), model_id)


def load(study: str, uri: str) -> Predictor:
    """Load a study's champion. Raises BadInput if it has none, or one of an early version, Corrupt, and StudyError of the store."""
    from study.tracking.predicting import Predictor, networks

    with opened(study, uri) as (model, metadata):
        return Predictor.of(metadata, networks(model))


@contextmanager
def opened(study: str, uri: str) -> Iterator[tuple[keras.Model, dict[str, Any]]]:
    """Give a study's champion for the block: its Keras model and its metadata. Raises as `load` does."""
    from study.engine import export
    from study.tracking import champion, store

    records = store.existing(uri)
    with champion.opened(records, study) as kept:
        if kept is None:
            if study not in (known := [name for name in records.experiments() if name != schema.DEFAULT]):
                raise BadInput([Fault("STUDY", study, one_of_names(study, known))])
            raise BadInput([Fault("STUDY", study, f"a study whose champion is saved in {uri}; launch it again to save it")])
        file, meaning = kept
        if "made_of" not in meaning:  # saved by an earlier version
            raise BadInput([Fault("STUDY", study, "a study whose champion records its columns; launch it again to save it")])
        yield export.load_predictor(file), meaning


def _champion(study: str, record: TrialRecord, run_id: str, fingerprint: str, members: Sequence[TrackedNetwork]) -> Champion:
    from study.engine import export
    from study.tracking import predicting
    from study.tracking.champion import Champion
    from study.tracking.logged_champion import BEHAVIOUR

    spec, numbers = build(members[0].config), [member.number or 0 for member in members]
    scalings = by_replicate(spec, numbers, learn_scaling)
    model = export.predictor(spec, [member.network for member in members], scalings)
    rows = loading.rows(spec)
    threshold = record.summary.threshold if record.summary else None
    meaning = meaning_of(spec, rows, members[0].network.kernels[-1].shape[1], threshold)
    errors = out_of_fold.errors(spec, numbers, model)
    meaning[ERRORS] = None if errors is None else errors.tolist()
    if isinstance(spec.data, UserTable):
        meaning["encoding"] = "each column becomes the inputs that `made_of` lists, by study/data/encoding.py"
    whence = {"study": study, "trial": record.number, "members": numbers, "run_id": run_id, "fingerprint": fingerprint}
    return Champion(
        model=model,
        columns=_columns(rows, splits.replicate_parts(spec, numbers[0])[2][:EXAMPLE_ROWS]),
        gives=predicting.types(meaning.get("classes", meaning["outputs"]), classes="classes" in meaning),
        fingerprint=fingerprint,
        params=schema.parameters(members[0].settings),
        metadata=whence | meaning,
        files={BEHAVIOUR: measured.measure(spec, numbers, model, record.number, threshold).to_json()},
        note=_note(study, record, run_id, fingerprint, len(members), meaning),
    )


def _reading(table: UserTable, made_up: Sequence[str]) -> dict[str, Any]:
    """Return the settings that read new rows as the table was read. made_up: its column names if the file has none."""
    return {
        "decimal": table.decimal,
        "thousands": table.thousands,
        "gaps": list(table.gaps),
        "columns": [f"{name}: {role}" for name, role in table.named_roles.items() if role == CATEGORY],
        "target": table.target,
        "header": not made_up,
        "made_up": list(made_up),
    }


def _columns(rows: Rows, numbers: Array) -> list[Column]:
    """Return the columns that the inputs are made of. numbers: of a few rows, which are examples."""
    from study.tracking.champion import Column

    examples = ((column, encoding.decode_column(column, rows.x[numbers, at])) for column, at in rows.placed)
    return [Column(column.name, text=column.is_text, optional=column.gaps, example=example) for column, example in examples]


def meaning_of(spec: TrialSpec, rows: Rows, outputs: int, threshold: float | None) -> dict[str, Any]:
    """Return what `Predictor.of` takes of a setting: the names of inputs and outputs, in order, and how new rows become inputs.

    outputs: of a network; threshold: as in `Predictor`.
    """
    meaning = _names(spec, rows.input_names, rows.target_names, outputs) | {"made_of": encoding.plain(rows.columns)}
    if threshold is not None:
        meaning[THRESHOLD] = threshold
    if isinstance(spec.data, UserTable):
        meaning["reading"] = _reading(spec.data, rows.made_up)
    return meaning


def _names(spec: TrialSpec, inputs: Sequence[str], targets: Sequence[str], outputs: int) -> dict[str, Any]:
    if spec.data.task != CLASSIFICATION:
        return {"inputs": list(inputs), "outputs": list(targets), "outputs_are": "the targets, in their own units"}
    # of two classes, a single output is the probability of the second
    classes = {"outputs": list(targets[-outputs:]), "outputs_are": "the classes' probabilities", "classes": list(targets)}
    return {"inputs": list(inputs)} | classes


def _note(study: str, record: TrialRecord, run_id: str, fingerprint: str, members: int, meaning: dict[str, Any]) -> str:
    assert record.summary is not None
    setting = f" ({report.settings_text(record.params)})" if record.params else ""
    of = f"mean prediction of the {members} networks" if members > 1 else "network"
    return (
        f"The {of} of trial {record.number}{setting}, the best setting. One alone has a validation loss of "
        f"{report.loss_text(record.summary)} on average.\n\n"
        "`mlflow.pyfunc.load_model`, `mlflow models predict` and `mlflow models serve` accept the table's columns by name, in any "
        "order, unscaled and unencoded, and refuse data that doesn't fit; "
        f"`mlp-study predict {shlex.quote(study)} FILE.csv` does the same for a file. All return {meaning['outputs_are']}: "
        f"{', '.join(meaning.get('classes', meaning['outputs'])[:MOST_NAMES])}; and the standard deviation over the "
        "networks. The parameter `interval` adds prediction intervals.\n\n"
        f"`mlflow.keras.load_model` returns the Keras model itself. It expects {len(meaning['inputs'])} unscaled numbers per row, "
        "in the order of its metadata's `inputs`, with one input per level of a text column. Its layer `members` gives the "
        "prediction of each network.\n\n"
        f"The networks are those of run `{run_id}`, stacked (fingerprint `{fingerprint}`). Each has its own scaling of inputs and "
        "targets."
    )
