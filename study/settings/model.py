"""The architecture."""

from __future__ import annotations

from dataclasses import dataclass

from study.settings.rules import Section, integer, listing, one_of, setting

ACTIVATIONS = ("relu", "tanh")
WIDTH, DEPTH = integer(1, 65_536), integer(1, 100)


@dataclass(frozen=True)
class Model(Section):
    """A multilayer perceptron: the hidden layers' sizes and their activation. The output layer is linear (logits)."""

    units: tuple[int, ...] = setting((64, 64), listing(WIDTH, at_least=1))
    activation: str = setting("relu", one_of(ACTIVATIONS))
