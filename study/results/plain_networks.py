"""A setting's networks as a function of encoded rows in NumPy: they predict without TensorFlow, and can be pickled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from study.analysis import forward
from study.data.scaling import ColumnScale, Scaling, in_units
from study.records.arrays import Array, Doubles
from study.records.network import Network
from study.settings.model import Model

AT_ONCE = 20_000_000  # numbers in a layer's outputs


@dataclass(frozen=True)
class PlainNetworks:
    """R networks that map unscaled inputs, [n, inputs], to what each predicts, [n, R, outputs], as `Predictor.networks` does.

    fills: what replaces a gap, [R, inputs], NaN for an input without gaps. scalings: each network's own, without targets for
    classes, whose probabilities are predicted.
    """

    networks: Network
    model: Model
    fills: Doubles
    scalings: tuple[Scaling, ...]

    def __call__(self, x: Array) -> Array:
        step = max(1, AT_ONCE // (len(self.scalings) * max(self.model.units, default=1)))
        return np.concatenate([self._predict(x[at : at + step]) for at in range(0, max(1, len(x)), step)])

    def _predict(self, x: Array) -> Doubles:
        # in double precision, a row's prediction doesn't depend on the rows beside it
        doubles = Network({name: array.astype(np.float64) for name, array in self.networks.parameters.items()})
        predicted = []
        for net, fill, scaling in zip(doubles.unstack(), self.fills, self.scalings, strict=True):
            seen: Any = scaling.apply(x, fill)
            outputs = forward.layer_outputs(Network.stack([net]), seen, self.model)[-1][0]
            predicted.append(_in_units(outputs, scaling.targets) if scaling.targets else forward.probabilities(outputs))
        return np.stack(predicted, axis=1)


def _in_units(outputs: Doubles, scales: Sequence[ColumnScale]) -> Doubles:
    # a target that is constant in the training part has an infinite spread, and is predicted as what it was
    return in_units(scales, np.where(np.isfinite([scale.spread for scale in scales]), outputs, 0.0))
