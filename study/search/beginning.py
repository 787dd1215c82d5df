"""The settings that a new study tries first, and the trials of another study that its sampler learns from."""

from __future__ import annotations

from dataclasses import dataclass, field

from study.records.arrays import Scalar


@dataclass(frozen=True)
class Beginning:
    """A study's beginning, which is kept with the study: the same command finds it there.

    default: the configuration's own values of the searched settings, tried first where a sampler chooses; None if they lie outside
    the space. first: settings that are tried next. learned: settings and values of another study's trials.
    """

    default: dict[str, Scalar] | None = None
    first: list[dict[str, Scalar]] = field(default_factory=list)
    learned: list[tuple[dict[str, Scalar], list[float]]] = field(default_factory=list)

    def settings(self, *, with_default: bool) -> list[dict[str, Scalar]]:
        """Return the settings of the first trials, each once."""
        settings = [self.default] if with_default and self.default is not None else []
        for params in self.first:
            if params not in settings:
                settings.append(params)
        return settings
