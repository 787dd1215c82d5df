"""Starts a trial from the networks of a tracked run, which `init.same_as` names."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from study.errors import BadInput, Fault
from study.records.dataset import Dataset
from study.records.network import Network, parameter_shapes
from study.settings.spec import TrialSpec


def load(spec: TrialSpec, data: Dataset, uri: str) -> list[Network] | None:
    """Return each replicate's first weights, from the run that `init.same_as` names in the store at `uri`; None if it names none.

    Raises BadInput if there is no such run, if it has fewer networks than the trial has replicates, or networks of another
    architecture than the settings describe.
    """
    run = spec.init.same_as
    if run is None:
        return None
    try:
        networks = _networks(uri, run)
    except BadInput as bad:
        raise BadInput([Fault("init.same_as", run, fault.valid) for fault in bad.faults]) from bad
    count = spec.replicates.count
    if 1 < len(networks) < count:
        got = f"{run}, a run of {len(networks)} networks"
        raise BadInput([Fault("init.same_as", got, f"a replicate's run, or a trial's of at least {count}")])
    shapes = parameter_shapes(data.layer_sizes(spec), spec.model.normalisation)
    if networks[0].shapes != shapes:
        valid = Network({name: np.empty(shape, np.float32) for name, shape in shapes.items()}).architecture
        got = f"{run}, whose networks are {networks[0].architecture}"
        raise BadInput([Fault("init.same_as", got, f"a run of networks {valid}")])
    return (networks * count)[:count] if len(networks) == 1 else networks[:count]


@lru_cache(maxsize=2)
def _networks(uri: str, run: str) -> list[Network]:
    """Load a run's networks once: a finished run doesn't change, and every trial of a study starts from the same."""
    from study.tracking import reader, store  # MLflow takes seconds to load

    return [tracked.network for tracked in reader.load_networks(store.existing(uri), run)]
