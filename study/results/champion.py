"""A study's champion: the best trial's best network, as a Keras model that takes what a user has and gives what a user wants."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from study.data import dataset, encoding
from study.data.dataset import Scaling
from study.data.encoding import Input
from study.errors import BadInput, Fault
from study.records.arrays import Array
from study.records.tracked import TrackedNetwork
from study.records.trial import TrialRecord
from study.reporting import report
from study.reporting.study_results import Findings
from study.settings.data import CLASSIFICATION, Table
from study.settings.spec import TrialSpec, build
from study.settings.values import as_texts

if TYPE_CHECKING:
    from study.tracking.champion import Champion, Column

EXAMPLE_ROWS, MOST_NAMES = 5, 20


@dataclass(frozen=True)
class Kept:
    """What became the champion, or has been before: a replicate of a trial, as the model of this id."""

    trial: int
    replicate: int
    model_id: str


def keep(found: Findings, uri: str) -> Kept | None:
    """Keeps the study's best network with the study's run, unless it is there. None if no trial completed.

    Raises StudyError if that can't be: the study itself is done.
    """
    from study.tracking import champion, inspection, reader, store

    best = found.best
    if best is None or best.summary is None:
        return None
    with inspection.errors(uri):
        opened = store.existing(uri)
        run_id = best.run_id or reader.run_of(opened, found.name, best.number)
        if run_id is None:
            return None
        networks = reader.load_networks(opened, run_id)
        place = int(np.argmin(best.summary.val_losses))
        chosen, spec = networks[place], build(networks[place].config)
        model_id = champion.kept(opened, found.name, chosen.fingerprint)
        if model_id is None:
            model_id = champion.keep(opened, found.name, _champion(found.name, best, place, chosen, spec))
    return Kept(best.number, spec.replicates.numbers[place], model_id) if model_id else None


@dataclass(frozen=True)
class Predictor:
    """A study's champion, ready for new rows. names: of its outputs; reading: how its table was read, as `_reading` gives it."""

    model: Any
    inputs: tuple[Input, ...]
    names: tuple[str, ...]
    reading: Mapping[str, Any]

    def predict(self, columns: Mapping[str, Array]) -> Array:
        """The outputs of rows as they come, [n, outputs]: targets in their own units, or each class's probability.

        columns: as for `encoding.encode`, whose BadInput it raises.
        """
        from study.tracking import served

        return served.outputs(self.model, self.inputs, self.names, columns, self.reading.get("gaps", ()))


def load(study: str, uri: str) -> Predictor:
    """Raises BadInput if the study has no champion, or one that doesn't know its columns, Corrupt, and StudyError of the store."""
    from study.engine import export
    from study.tracking import champion, served, store

    with champion.opened(store.existing(uri), study) as found:
        if found is None:
            raise BadInput([Fault("STUDY", study, f"a study whose best network is kept in {uri}: launch it again")])
        file, meaning = found
        if "made_of" not in meaning:  # it was kept by an earlier version
            raise BadInput([Fault("STUDY", study, "a study whose champion names its columns: launch it again")])
        model = export.load_predictor(file)
        # earlier versions kept the decimal mark alone
        reading = {"decimal": meaning.get("decimal", "."), "header": True} | meaning.get("reading", {})
        return Predictor(model, served.inputs(meaning), served.names(meaning), reading)


def _champion(study: str, record: TrialRecord, place: int, chosen: TrackedNetwork, spec: TrialSpec) -> Champion:
    from study.engine import export
    from study.tracking.champion import Champion

    number = spec.replicates.numbers[place]
    data, scaling = dataset.load_replicate(spec, number), dataset.scaling(spec, number)
    model = export.predictor(spec, chosen.network, scaling)
    inputs = dataset.inputs(spec)
    meaning = _meaning(spec, data.input_names, data.target_names, chosen.network.kernels[-1].shape[1])
    meaning["made_of"] = [list(each) for each in inputs]
    if isinstance(spec.data, Table):
        fills = {name: each.fill for name, each in zip(data.input_names, scaling.inputs, strict=True)}
        meaning["instead_of_missing"] = {name: fill for name, fill in fills.items() if fill is not None}
        meaning["reading"] = _reading(spec.data, dataset.rows(spec).made_up)
        meaning["encoding"] = "a text or boolean column is one input a level, 1 where it has that level and else 0"
    whence = {"study": study, "trial": record.number, "replicate": number, "run_id": chosen.run_id}
    return Champion(
        model=model,
        columns=_columns(inputs, scaling),
        outputs=tuple(meaning.get("classes", meaning["outputs"])),
        fingerprint=chosen.fingerprint,
        params=as_texts(chosen.settings),
        metadata=whence | {"fingerprint": chosen.fingerprint, "label": chosen.label} | meaning,
        note=_note(study, record, place, number, chosen, meaning),
    )


def _reading(table: Table, made_up: Sequence[str]) -> dict[str, Any]:
    """What reads new rows as the table was read. made_up: the names of all its columns if its file has none."""
    return {
        "decimal": table.decimal,
        "thousands": table.thousands,
        "gaps": list(table.gaps),
        "target": table.target,
        "header": not made_up,
        "made_up": list(made_up),
    }


def _columns(inputs: Sequence[Input], scaling: Scaling) -> list[Column]:
    """The columns that the inputs are made of, with the validation part's first rows, where gaps in numbers are filled."""
    from study.tracking.champion import Column

    found, at = list[Column](), 0
    for name, of_column in encoding.columns_of(inputs).items():
        part, fill = scaling.x_val[:EXAMPLE_ROWS, at : at + len(of_column)], scaling.inputs[at].fill
        at += len(of_column)
        if of_column[0].level is None:
            found.append(Column(name, text=False, optional=fill is not None, example=part[:, 0].tolist()))
            continue
        boolean = encoding.is_boolean(of_column)
        levels = [each.level == "True" if boolean else each.level for each in of_column]
        example = [levels[int(np.argmax(row))] if row.any() else None for row in part]
        found.append(Column(name, text=not boolean, optional=of_column[0].gaps, example=example))
    return found


def _meaning(spec: TrialSpec, inputs: Sequence[str], targets: Sequence[str], outputs: int) -> dict[str, Any]:
    """What goes in and what comes out, by name and in order."""
    if spec.data.task != CLASSIFICATION:
        return {"inputs": list(inputs), "outputs": list(targets), "outputs_are": "the targets, in their own units"}
    # of two classes, a single output is the probability of the second
    told = {"outputs": list(targets[-outputs:]), "outputs_are": "the classes' probabilities", "classes": list(targets)}
    return {"inputs": list(inputs)} | told


def _note(study: str, record: TrialRecord, place: int, number: int, chosen: TrackedNetwork, meaning: dict[str, Any]) -> str:
    summary = record.summary
    assert summary is not None
    setting = f" ({report.settings_text(record.params)})" if record.params else ""
    return (
        f"Replicate {number} of trial {record.number}{setting}, {chosen.label}: of the best setting's {len(summary.val_losses)} "
        f"networks the one with the lowest validation loss, {report.number(summary.val_losses[place], 4)}. It was picked by that, "
        f"so that it flatters; what to expect of the setting is {report.loss_text(summary)}.\n\n"
        "`mlflow.pyfunc.load_model` and `mlflow models predict` take the table's own columns by name, in any order, unscaled and "
        f"with texts as texts, and refuse what doesn't fit. `mlp-study predict {shlex.quote(study)} FILE.csv` does the same with a "
        f"file. They give {meaning['outputs_are']}: {', '.join(meaning.get('classes', meaning['outputs'])[:MOST_NAMES])}.\n\n"
        f"`mlflow.keras.load_model` gives the Keras model itself. Each row has {len(meaning['inputs'])} numbers, unscaled, in the "
        "order of its metadata's `inputs`, where a text is one input for each of its levels.\n\n"
        f"Between scaling and unscaling lies the network of run `{chosen.run_id}`, with the fingerprint `{chosen.fingerprint}`."
    )
