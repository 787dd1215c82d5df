"""An MLP's function in NumPy, for analyses that need activations without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from study.records import Array, Floats, Integers

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh}


def layer_outputs(kernels: Sequence[Floats], biases: Sequence[Floats], x: Floats, activation: str) -> list[Floats]:
    """Each layer's output, [R, n, units]; the last is the network's output, which has no activation.

    kernels: [R, in, out], biases: [R, out], x: [n, in].
    """
    outputs: list[Floats] = []
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged network's outputs are infinite, as TensorFlow has them
        for kernel, bias in zip(kernels, biases, strict=True):
            z = (outputs[-1] if outputs else x[None]) @ kernel + bias[:, None, :]
            outputs.append(z if len(outputs) == len(kernels) - 1 else ACTIVATIONS[activation](z))
    return outputs


def losses(outputs: Floats, y: Floats | Integers) -> Floats:
    """The mean loss of each network, [R]: mean squared error for float targets, cross-entropy of logits for class numbers.

    outputs: [R, n, units]; y: [n, units] or [n].
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.issubdtype(y.dtype, np.integer):
            top = outputs.max(axis=-1, keepdims=True)
            log_sum = np.log(np.exp(outputs - top).sum(axis=-1)) + top[..., 0]
            return (log_sum - outputs[:, np.arange(len(y)), y]).mean(axis=-1)
        return np.square(outputs - y).mean(axis=(-2, -1))
