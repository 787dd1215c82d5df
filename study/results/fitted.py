"""The networks of one setting, ready for new rows without TensorFlow and without records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
import pandas as pd

from study.analysis import decision_threshold
from study.data import inputs, loading
from study.data.dataset import load_data
from study.data.scaling import by_replicate, learn_scaling
from study.errors import BadInput, Fault
from study.records.arrays import Floats
from study.records.cohort import Cohort
from study.records.network import Network
from study.results import champion, new_rows
from study.results.plain_networks import PlainNetworks
from study.settings.spec import TrialSpec
from study.tracking import predicting
from study.tracking.predicting import Predictor


@dataclass(frozen=True, repr=False)
class Fitted:
    """The trained networks of one setting, which predict together; plain arrays and settings, which can be pickled.

    spec: the setting; networks: R of them, without those whose numbers aren't finite; members: their numbers; labels: of each,
    whether its training has converged; val_loss: [R], of each on its validation part. names: the targets, or the classes in order.
    columns: those that are inputs. reading: how the rows were read, one line each.

    >>> fitted = study.fit(settings=["data=iris", "training.epochs=2", "replicates.count=2", "model.units=[4]"])
    >>> fitted.names, fitted.networks
    (('setosa', 'versicolor', 'virginica'), Network(2 × 4-4-3))
    """

    spec: TrialSpec
    networks: Network
    labels: tuple[str, ...]
    val_loss: Floats
    reading: str
    predictor: Predictor

    @property
    def members(self) -> tuple[int, ...]:
        return self.predictor.members

    @property
    def names(self) -> tuple[str, ...]:
        return self.predictor.names

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.predictor.columns)

    def __repr__(self) -> str:
        losses = f"{self.val_loss.min():.4g} to {self.val_loss.max():.4g}"
        return f"Fitted({len(self.members)} × {self.networks.architecture}, val loss {losses})"

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
        table = new_rows.table(rows, self.columns)
        predicted = self.predictor.predict(predicting.columns(table), member)
        mean, std = (pd.DataFrame(part, index=table.index, columns=list(self.names)) for part in predicted)
        return (mean, std) if return_std else mean


def fitted(cohort: Cohort) -> Fitted:
    """Return a trained cohort for use. Raises BadInput if no network's numbers are finite."""
    from study.engine import export

    spec, numbers = cohort.spec, list(cohort.spec.replicates.numbers)
    losses, networks = cohort.final(cohort.val_loss), cohort.networks()
    kept = [at for at, net in enumerate(networks) if np.isfinite([losses[at], *map(np.max, net.parameters.values())]).all()]
    if not kept:
        rate = Fault("optimizer.learning_rate", spec.optimizer.learning_rate, f"less: all {len(cohort)} networks diverged")
        raise BadInput([rate])
    scalings = by_replicate(spec, [numbers[at] for at in kept], learn_scaling)
    rows, stacked = loading.rows(spec), Network.stack([networks[at] for at in kept])
    plain = PlainNetworks(
        networks=stacked,
        model=spec.model,
        fills=export.fills(scalings),
        scalings=tuple(scaling._replace(x_val=np.empty((0, len(scaling.kinds)))) for scaling in scalings),
    )
    meaning = champion.meaning_of(spec, rows, stacked.kernels[-1].shape[-1], decision_threshold.of_cohort(cohort))
    meaning["members"] = [numbers[at] for at in kept]
    return Fitted(
        spec=spec,
        networks=stacked,
        labels=tuple(cohort.labels[at] for at in kept),
        val_loss=losses[kept],
        reading=inputs.reading(spec, load_data(spec)),
        predictor=Predictor.of(meaning, plain),
    )
