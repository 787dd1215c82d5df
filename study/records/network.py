"""A network's parameters, or those of R networks of one architecture."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study.records.arrays import Floats
from study.settings.model import BATCH, LAYER

STATISTICS = ("mean", "variance")


@dataclass(frozen=True, repr=False)
class Network:
    """A network's parameters by name, or those of R networks with an axis [R] in front of each.

    Layer i has kernel_i [in, out] and bias_i [out]. A hidden layer that is normalised also has scale_i [out]: it computes
    scale · normalised(x @ kernel) + bias, so that Keras' gamma is the scale and its beta the bias. Batch normalisation has the
    running statistics mean_i and variance_i [out] besides.
    """

    parameters: dict[str, Floats]

    @classmethod
    def of_layers(cls, kernels: Sequence[Floats], biases: Sequence[Floats]) -> Network:
        """A network without normalisation."""
        pairs = enumerate(zip(kernels, biases, strict=True))
        return cls({name: array for i, (k, b) in pairs for name, array in ((f"kernel_{i}", k), (f"bias_{i}", b))})

    @classmethod
    def stack(cls, networks: Sequence[Network]) -> Network:
        """R networks of one architecture as one, with the axis [R] in front."""
        return cls({name: np.stack([net.parameters[name] for net in networks]) for name in networks[0].parameters})

    def unstack(self) -> list[Network]:
        """The single networks of a stack."""
        count = len(self.parameters["bias_0"])
        return [Network({name: array[r] for name, array in self.parameters.items()}) for r in range(count)]

    def __repr__(self) -> str:
        stacked = f"{len(self.parameters['bias_0'])} × " if self.parameters["bias_0"].ndim > 1 else ""
        return f"Network({stacked}{self.architecture})"

    @property
    def depth(self) -> int:
        """The number of layers, the output layer included."""
        return sum(name.startswith("kernel_") for name in self.parameters)

    @property
    def kernels(self) -> tuple[Floats, ...]:
        return tuple(self.parameters[f"kernel_{layer}"] for layer in range(self.depth))

    @property
    def biases(self) -> tuple[Floats, ...]:
        return tuple(self.parameters[f"bias_{layer}"] for layer in range(self.depth))

    @property
    def trainable(self) -> dict[str, Floats]:
        """The arrays that gradients change: everything but running statistics, in an order that depends on the names alone."""
        return {name: self.parameters[name] for name in sorted(self.parameters) if not name.startswith(STATISTICS)}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: array.shape for name, array in self.parameters.items()}

    @property
    def normalisation(self) -> str | None:
        """As in `settings.model`."""
        return BATCH if "mean_0" in self.parameters else LAYER if "scale_0" in self.parameters else None

    @property
    def architecture(self) -> str:
        """In words, such as `10-128-1` or `10-128-1 with batch normalisation`."""
        sizes = "-".join(str(size) for size in (self.kernels[0].shape[-2], *(kernel.shape[-1] for kernel in self.kernels)))
        return f"{sizes} with {self.normalisation} normalisation" if self.normalisation else sizes


def parameter_count(sizes: Sequence[int], normalisation: str | None) -> int:
    """Return the number of parameters of a single network with layers between `sizes`, running statistics included."""
    return sum(math.prod(shape) for shape in parameter_shapes(sizes, normalisation).values())


def parameter_shapes(sizes: Sequence[int], normalisation: str | None) -> dict[str, tuple[int, ...]]:
    """The parameters of a single network with layers between `sizes`, in the order of the layers."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, units) in enumerate(itertools.pairwise(sizes)):
        shapes |= {f"kernel_{layer}": (inputs, units), f"bias_{layer}": (units,)}
        if normalisation and layer < len(sizes) - 2:
            names = ["scale", *STATISTICS] if normalisation == BATCH else ["scale"]
            shapes |= {f"{name}_{layer}": (units,) for name in names}
    return shapes
