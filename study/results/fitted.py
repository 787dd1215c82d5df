"""The networks of one setting, ready for new rows without TensorFlow and without records: plain arrays and settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
import pandas as pd

from study.analysis import forward
from study.data import inputs, loading
from study.data.dataset import load_data
from study.data.encoding import Input
from study.data.scaling import ColumnScale, learn_scaling
from study.errors import BadInput, Fault
from study.records.arrays import Array, Doubles, Floats
from study.records.cohort import Cohort
from study.records.network import Network
from study.results import new_rows
from study.settings.data import CLASSIFICATION, LARGEST, UserTable
from study.settings.spec import TrialSpec
from study.tracking import served

AT_ONCE = 20_000_000  # numbers in a layer's outputs


@dataclass(frozen=True, repr=False)
class Fitted:
    """The trained networks of one setting, which predict together.

    spec: the setting; networks: R of them, without those whose numbers aren't finite; members: their numbers; labels: of each,
    whether its training has converged; val_loss: [R], of each on its validation part. names: the targets, or the classes in order.
    reading: how the rows were read, one line each. columns: those that are inputs.

    >>> fitted = study.fit(settings=["data=iris", "training.epochs=2", "replicates.count=2", "model.units=[4]"])
    >>> fitted.names, fitted.networks
    (('setosa', 'versicolor', 'virginica'), Network(2 × 4-4-3))
    """

    spec: TrialSpec
    networks: Network
    members: tuple[int, ...]
    labels: tuple[str, ...]
    val_loss: Floats
    names: tuple[str, ...]
    reading: str
    columns: tuple[str, ...]
    _made_of: tuple[Input, ...]
    _fills: Doubles
    _inputs: Doubles
    _targets: Doubles

    def __repr__(self) -> str:
        losses = f"{self.val_loss.min():.4g} to {self.val_loss.max():.4g}"
        return f"Fitted({len(self.members)} × {self.networks.architecture}, val loss {losses})"

    @property
    def classifies(self) -> bool:
        return self.spec.data.task == CLASSIFICATION

    @overload
    def predict(self, rows: object, *, member: int | None = None, return_std: Literal[False] = False) -> pd.DataFrame: ...

    @overload
    def predict(
        self, rows: object, *, member: int | None = None, return_std: Literal[True]
    ) -> tuple[pd.DataFrame, pd.DataFrame]: ...

    def predict(
        self, rows: object, *, member: int | None = None, return_std: bool = False
    ) -> pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]:
        """Predict new rows as `Study.predict` does, whose arguments these are: a column for each target, or for each class."""
        if member is not None and member not in self.members:
            raise BadInput([Fault("member", member, f"the number of a replicate: {', '.join(map(str, self.members))}")])
        table = new_rows.table(rows, self.columns)
        predicted = self.each(table)
        if member is not None:
            predicted = predicted[[self.members.index(member)]]
        with np.errstate(invalid="ignore"):
            spread = predicted.std(axis=0, ddof=1) if len(predicted) > 1 else np.full(predicted.shape[1:], np.nan)
        mean, std = (pd.DataFrame(part, index=table.index, columns=list(self.names)) for part in (predicted.mean(axis=0), spread))
        return (mean, std) if return_std else mean

    def each(self, rows: pd.DataFrame) -> Doubles:
        """Return what each network predicts, [R, n, outputs]: targets in their own units, or the probability of each class."""
        gaps = self.spec.data.gaps if isinstance(self.spec.data, UserTable) else ()
        x = served.encoded(self._made_of, served.columns(rows), gaps)
        step = max(1, AT_ONCE // (len(self.members) * max(self.spec.model.units)))
        parts = [self._predict(x[at : at + step]) for at in range(0, max(1, len(x)), step)]
        return np.concatenate(parts, axis=1)

    def _predict(self, x: Array) -> Doubles:
        outputs = []
        # in double precision, a row's prediction doesn't depend on the rows beside it
        doubles = Network({name: array.astype(np.float64)[:, None] for name, array in self.networks.parameters.items()})  # type: ignore[misc]
        for net, fill, scale in zip(doubles.unstack(), self._fills, self._inputs, strict=True):
            filled = np.where(np.isnan(x), fill, x)
            with np.errstate(invalid="ignore"):
                scaled = np.clip((filled - scale[1]) / scale[0], -LARGEST, LARGEST)
            scaled[~np.isfinite(filled)] = np.nan
            outputs.append(forward.layer_outputs(net, scaled, self.spec.model)[-1][0])
        predicted = np.stack(outputs)
        if self.classifies:
            return forward.probabilities(predicted)
        # a target that is constant in the training part has an infinite spread, and is predicted as what it was
        spread, centre = np.where(np.isinf(self._targets[:, 0]), 0, self._targets[:, 0]), self._targets[:, 1]
        return predicted * spread[:, None] + centre[:, None]


def fitted(cohort: Cohort) -> Fitted:
    """Return a trained cohort for use. Raises BadInput if no network's numbers are finite."""
    from study.engine import export

    spec, numbers = cohort.spec, list(cohort.spec.replicates.numbers)
    losses, networks = cohort.final(cohort.val_loss), cohort.networks()
    kept = [at for at, net in enumerate(networks) if np.isfinite([losses[at], *map(np.max, net.parameters.values())]).all()]
    if not kept:
        rate = Fault("optimizer.learning_rate", spec.optimizer.learning_rate, f"less: all {len(cohort)} networks diverged")
        raise BadInput([rate])
    scalings = [learn_scaling(spec, numbers[at]) for at in kept]
    rows = loading.rows(spec)
    return Fitted(
        spec=spec,
        networks=Network.stack([networks[at] for at in kept]),
        members=tuple(numbers[at] for at in kept),
        labels=tuple(cohort.labels[at] for at in kept),
        val_loss=losses[kept],
        names=rows.target_names,
        reading=inputs.reading(spec, load_data(spec)),
        columns=tuple(dict.fromkeys(item.column for item in rows.inputs)),
        _made_of=rows.inputs,
        _fills=export.fills(scalings),
        _inputs=_scales([scaling.inputs for scaling in scalings]),
        _targets=_scales([scaling.targets for scaling in scalings]),
    )


def _scales(scales: Sequence[Sequence[ColumnScale]]) -> Doubles:
    """Return the spread and the centre of each column, [R, 2, columns]."""
    return np.array([[[column.spread for column in columns], [column.centre for column in columns]] for columns in scales])
