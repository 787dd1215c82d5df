"""Save and load a study's champion: the best trial's best network as a Keras model on unscaled data."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from study.data import dataset, encoding, loading
from study.data.encoding import Input
from study.data.scaling import Scaling, learn_scaling
from study.errors import BadInput, Fault
from study.records.arrays import Array
from study.records.tracked import TrackedNetwork
from study.records.trial import TrialRecord
from study.reporting import report
from study.reporting.study_results import Findings
from study.settings.data import CLASSIFICATION, UserTable
from study.settings.spec import TrialSpec, build
from study.settings.values import as_texts

if TYPE_CHECKING:
    from study.tracking.champion import Champion, Column

EXAMPLE_ROWS, MOST_NAMES = 5, 20


@dataclass(frozen=True)
class Kept:
    """A champion: a replicate of a trial, as the model of this id."""

    trial: int
    replicate: int
    model_id: str


def keep(findings: Findings, uri: str) -> Kept | None:
    """Save the study's best network with the study's run, unless it is there already. None if no trial completed.

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
        index = int(np.argmin(best.summary.val_losses))
        chosen, spec = networks[index], build(networks[index].config)
        model_id = champion.kept(opened, findings.name, chosen.fingerprint)
        if model_id is None:
            model_id = champion.keep(opened, findings.name, _champion(findings.name, best, index, chosen, spec))
    return Kept(best.number, spec.replicates.numbers[index], model_id) if model_id else None


@dataclass(frozen=True)
class Predictor:
    """A study's champion, ready for new rows. names: of its outputs; reading: how its table was read, from `_reading`."""

    model: Any
    inputs: tuple[Input, ...]
    names: tuple[str, ...]
    reading: Mapping[str, Any]

    def predict(self, columns: Mapping[str, Array]) -> Array:
        """Predict unscaled rows, [n, outputs]: targets in their own units, or each class's probability.

        columns: as for `encoding.encode`, whose BadInput it raises.
        """
        from study.tracking import served

        return served.outputs(self.model, self.inputs, self.names, columns, self.reading.get("gaps", ()))


def load(study: str, uri: str) -> Predictor:
    """Load a study's champion. Raises BadInput if it has none, or one of an early version, Corrupt, and StudyError of the store."""
    from study.engine import export
    from study.tracking import champion, served, store

    with champion.opened(store.existing(uri), study) as kept:
        if kept is None:
            raise BadInput([Fault("STUDY", study, f"a study whose best network is saved in {uri}; launch it again to save it")])
        file, meaning = kept
        if "made_of" not in meaning:  # saved by an earlier version
            raise BadInput([Fault("STUDY", study, "a study whose champion records its columns; launch it again to save it")])
        model = export.load_predictor(file)
        # earlier versions saved only the decimal mark
        reading = {"decimal": meaning.get("decimal", "."), "header": True} | meaning.get("reading", {})
        return Predictor(model, served.inputs(meaning), served.names(meaning), reading)


def _champion(study: str, record: TrialRecord, index: int, chosen: TrackedNetwork, spec: TrialSpec) -> Champion:
    from study.engine import export
    from study.tracking.champion import Champion

    number = spec.replicates.numbers[index]
    data, scaling = dataset.load_replicate(spec, number), learn_scaling(spec, number)
    model = export.predictor(spec, chosen.network, scaling)
    rows = loading.rows(spec)
    meaning = _meaning(spec, data.input_names, data.target_names, chosen.network.kernels[-1].shape[1])
    meaning["made_of"] = [list(source) for source in rows.inputs]
    if isinstance(spec.data, UserTable):
        fills = {name: scale.fill for name, scale in zip(data.input_names, scaling.inputs, strict=True)}
        meaning["instead_of_missing"] = {name: fill for name, fill in fills.items() if fill is not None}
        meaning["reading"] = _reading(spec.data, rows.made_up)
        meaning["encoding"] = "a text or boolean column becomes one input per level, 1 for that level and 0 otherwise"
    whence = {"study": study, "trial": record.number, "replicate": number, "run_id": chosen.run_id}
    return Champion(
        model=model,
        columns=_columns(rows.inputs, scaling),
        outputs=tuple(meaning.get("classes", meaning["outputs"])),
        fingerprint=chosen.fingerprint,
        params=as_texts(chosen.settings),
        metadata=whence | {"fingerprint": chosen.fingerprint, "label": chosen.label} | meaning,
        note=_note(study, record, index, number, chosen, meaning),
    )


def _reading(table: UserTable, made_up: Sequence[str]) -> dict[str, Any]:
    """Return the settings that read new rows as the table was read. made_up: its column names if the file has none."""
    return {
        "decimal": table.decimal,
        "thousands": table.thousands,
        "gaps": list(table.gaps),
        "target": table.target,
        "header": not made_up,
        "made_up": list(made_up),
    }


def _columns(inputs: Sequence[Input], scaling: Scaling) -> list[Column]:
    """Return the columns that the inputs are made of, with the first validation rows, gaps in numbers filled."""
    from study.tracking.champion import Column

    columns, at = list[Column](), 0
    for name, of_column in encoding.columns_of(inputs).items():
        part, fill = scaling.x_val[:EXAMPLE_ROWS, at : at + len(of_column)], scaling.inputs[at].fill
        at += len(of_column)
        if of_column[0].level is None:
            columns.append(Column(name, text=False, optional=fill is not None, example=part[:, 0].tolist()))
            continue
        boolean = encoding.is_boolean(of_column)
        levels = [source.level == "True" if boolean else source.level for source in of_column]
        example = [levels[int(np.argmax(row))] if row.any() else None for row in part]
        columns.append(Column(name, text=not boolean, optional=of_column[0].gaps, example=example))
    return columns


def _meaning(spec: TrialSpec, inputs: Sequence[str], targets: Sequence[str], outputs: int) -> dict[str, Any]:
    """Return the names of inputs and outputs, in order."""
    if spec.data.task != CLASSIFICATION:
        return {"inputs": list(inputs), "outputs": list(targets), "outputs_are": "the targets, in their own units"}
    # of two classes, a single output is the probability of the second
    classes = {"outputs": list(targets[-outputs:]), "outputs_are": "the classes' probabilities", "classes": list(targets)}
    return {"inputs": list(inputs)} | classes


def _note(study: str, record: TrialRecord, index: int, number: int, chosen: TrackedNetwork, meaning: dict[str, Any]) -> str:
    summary = record.summary
    assert summary is not None
    setting = f" ({report.settings_text(record.params)})" if record.params else ""
    return (
        f"Replicate {number} of trial {record.number}{setting}, {chosen.label}: the network with the lowest validation loss, "
        f"{report.number(summary.val_losses[index], 4)}, among the {len(summary.val_losses)} of the best setting. That loss is "
        f"optimistic, because it selected the network; expect {report.loss_text(summary)} of the setting.\n\n"
        "`mlflow.pyfunc.load_model` and `mlflow models predict` accept the table's columns by name, in any order, unscaled and "
        f"unencoded, and refuse data that doesn't fit. `mlp-study predict {shlex.quote(study)} FILE.csv` does the same for a file. "
        f"They return {meaning['outputs_are']}: {', '.join(meaning.get('classes', meaning['outputs'])[:MOST_NAMES])}.\n\n"
        f"`mlflow.keras.load_model` returns the Keras model itself. It expects {len(meaning['inputs'])} unscaled numbers per row, "
        "in the order of its metadata's `inputs`, with one input per level of a text column.\n\n"
        f"The model scales its inputs, applies the network of run `{chosen.run_id}` (fingerprint `{chosen.fingerprint}`) and "
        "unscales its outputs."
    )
