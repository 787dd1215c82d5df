"""Compares tracked networks, and writes the comparison as tables, as text and as JSON."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

import numpy as np

from study.analysis.comparison import Comparison, compare
from study.analysis.distance import UNRELATED_TEXT, Matrix
from study.analysis.forward import layer_outputs
from study.analysis.pairwise import LastEpochs
from study.errors import BadInput, Fault
from study.records.dataset import Dataset
from study.records.network import Network
from study.records.tracked import TrackedNetwork, same_rows
from study.reporting import headlines, two_trials
from study.reporting.report import Table, number
from study.reporting.two_trials import Better
from study.settings.loss import Loss
from study.settings.model import Model
from study.settings.spec import TrialSpec
from study.settings.values import Value, as_texts, as_typed
from study.tracking.schema import address, seed_name


def compared(networks: Sequence[TrackedNetwork], activation: str | None = None, *, centred: bool = True) -> Comparison:
    """Compare networks as far as their records allow; files may allow their weights alone.

    activation: of hidden layers, where the records don't have it. Raises BadInput if they have another. centred: as in `compare`.
    """
    first, shared = networks[0], common(networks)
    if activation:
        models = [trial_spec.model for trial_spec in two_trials.specs(networks)]
        if other := sorted({model.activation for model in models} - {activation}):
            raise BadInput([Fault("--activation", activation, f"{', '.join(other)}, as recorded")])
        shared["model"] = shared["model"] or next(iter(models), Model(activation=activation))
    same_target = first.target.size > 0 and same_rows(networks)
    trained = all(network.label for network in networks)
    return compare(
        [network.network for network in networks],
        predictions=[network.predictions for network in networks] if same_target else None,
        target=first.target if same_target else None,
        labels=[network.label for network in networks] if trained else None,
        losses=[network.val_loss for network in networks] if trained else None,
        ended=_ended(networks),
        centred=centred,
        **shared,
    )


def _ended(networks: Sequence[TrackedNetwork]) -> LastEpochs | None:
    """Return the last epochs of networks, if those of all of them are known."""
    rests = [network.rests for network in networks]
    if None in rests:
        return None
    wobble, held = np.array([network.wobble for network in networks]), np.array([network.held for network in networks])
    return LastEpochs(wobble, np.array(rests, np.bool_), held)


def differing(networks: Sequence[TrackedNetwork]) -> list[str]:
    """Return the settings and seeds that aren't the same for all networks.

    How many replicates a trial has isn't set where a race decides it.
    """
    merged = [_texts(network) for network in networks]
    decided = {"replicates.count"} if any(network.raced for network in networks) else set()
    keys = [key for key in dict.fromkeys(key for texts in merged for key in texts) if key not in decided]
    return [key for key in keys if len({texts.get(key) for texts in merged}) > 1]


def _texts(network: TrackedNetwork) -> dict[str, str]:
    return as_texts(network.settings) | _seeds(network)


def _seeds(network: TrackedNetwork) -> dict[str, str]:
    """A network's seeds as texts, by their recorded names."""
    return {seed_name(source): str(seed) for source, seed in network.seeds.items()}


class Common(TypedDict):
    """The settings and data that networks share; None where they don't."""

    model: Model | None
    loss: Loss | None
    data: Dataset | None


def common(networks: Sequence[TrackedNetwork]) -> Common:
    """Return the settings and the data that the networks of all trials share."""
    shared: Common = {"model": None, "loss": None, "data": None}
    if not all(network.config for network in networks):
        return shared
    from study.data import dataset  # scikit-learn takes a second to load

    specs = two_trials.specs(networks)
    first = specs[0]
    if all(
        (other.model.activation, other.model.norm_epsilon) == (first.model.activation, first.model.norm_epsilon) for other in specs
    ):
        shared["model"] = first.model
    if all(other.loss == first.loss for other in specs):
        shared["loss"] = first.loss
    seen = {(other.data, other.seed, bool({"data", "noise"} & set(other.replicates.vary))) for other in specs}
    if shared["loss"] and len(seen) == 1 and not next(iter(seen))[2]:
        with contextlib.suppress(BadInput):  # a table that is no longer there
            data = dataset.load_data(first)
            if _is_of(data, first, networks[0]):
                shared["data"] = data
    return shared


def _is_of(data: Dataset, spec: TrialSpec, network: TrackedNetwork) -> bool:
    """Return whether the network was trained on these data: a table may have changed, and a record may come from anywhere.

    Other rows may have the same few classes; on them the network's predictions differ.
    """
    if data.y_val.shape != network.target.shape or data.x_val.shape[1] != network.network.kernels[0].shape[0]:
        return False
    outputs = layer_outputs(Network.stack([network.network]), data.x_val, spec.model)[-1][0]
    # another machine may round in another way
    return np.allclose(data.y_val, network.target) and np.allclose(outputs, network.predictions, rtol=1e-3, atol=1e-3)


def tables(networks: Sequence[TrackedNetwork], comparison: Comparison) -> Iterator[tuple[str, Table]]:
    """Yield a title and a table for the settings that differ, for the networks, and for every measure of a pair."""
    yield from network_tables(networks, comparison)
    yield from pair_tables(comparison)


def network_tables(networks: Sequence[TrackedNetwork], comparison: Comparison) -> Iterator[tuple[str, Table]]:
    """Yield a title and a table for the settings that differ between trials, if any do, and for the networks themselves."""
    known = {key for network in networks for key in _seeds(network)}
    settings, seeds = ([key for key in differing(networks) if (key in known) == last] for last in (False, True))
    if settings:
        trials = {two_trials.trial_address(network): network for network in networks}
        values = [_rounded([network.settings.get(key, "–") for network in trials.values()]) for key in settings]
        if len(trials) > max(MOST_COLUMNS, len(settings)):
            yield "settings that differ", Table(("", *settings), tuple(zip(trials, *values, strict=True)))
        else:
            by_key = tuple((key, *of_trials) for key, of_trials in zip(settings, values, strict=True))
            yield "settings that differ", Table(("", *trials), by_key)
    rows = tuple(
        (
            str(index),
            two_trials.network_address(network),
            number(network.val_loss, 4),
            number(network.train_loss, 4),
            network.label or "–",
            sha[:16],
            network.run_id[:8] or "–",
            *(_seeds(network).get(key, "–") for key in seeds),
        )
        for index, (network, sha) in enumerate(zip(networks, comparison.fingerprints, strict=True))
    )
    yield "networks", Table(("", "network", "val loss", "train loss", "convergence", "fingerprint", "run", *seeds), rows)


def pair_tables(comparison: Comparison) -> Iterator[tuple[str, Table]]:
    """Yield a title and a table for every measure of a pair of networks, first of the functions, then of the weights."""
    count = len(comparison.fingerprints)
    marks = [str(index) for index in range(count)]
    for title, matrix in _matrices(comparison):
        if count > 12:
            apart = matrix[np.triu_indices(count, k=1)]  # without what each network is to itself
            spread = tuple(number(float(statistic)) for statistic in (apart.mean(), apart.min(), apart.max()))
            yield title, Table(("mean of the pairs", "least", "most"), (spread,))
        else:
            rows = tuple((mark, *map(number, row)) for mark, row in zip(marks, matrix.tolist(), strict=True))
            yield title, Table(("", *marks), rows)
    examined = comparison.examined
    if examined and examined.barriers is not None and examined.aligned_barriers is not None:
        positions = examined.places
        columns = ("pair", "as they lie", "aligned")
        pairs = zip(examined.pairs, examined.barriers, examined.aligned_barriers, strict=True)
        rows = tuple((f"{positions[i]} – {positions[j]}", number(float(raw)), number(float(moved))) for (i, j), raw, moved in pairs)
        yield "loss barrier on the line between two networks (in error rate, or in trivial losses)", Table(columns, rows)


MOST_DIGITS = 17  # of a double
MOST_COLUMNS = 4  # of trials, where these are more than the settings that differ


def _rounded(values: Sequence[Value]) -> list[str]:
    """A setting's values as a person reads them: numbers with a fraction to as few digits, three or more, as keep them apart."""
    whole = list(map(as_typed, values))
    for digits in range(3, MOST_DIGITS):
        rounded = [number(value, digits) if isinstance(value, float) else as_typed(value) for value in values]
        if len(set(rounded)) == len(set(whole)):
            return rounded
    return whole


def _matrices(comparison: Comparison) -> Iterator[tuple[str, Matrix]]:
    """Yield a title and the numbers of each pair: first of the functions, then of the weights."""
    examined = comparison.examined
    named: tuple[tuple[str, Matrix | None], ...] = (
        (f"disagreement on the validation part ({comparison.disagreement_kind})", comparison.disagreement),
        ("similarity of the last hidden layer (debiased CKA)", examined.cka if examined else None),
        (f"relative L2 distance of the weights (unaligned; {UNRELATED_TEXT})", comparison.relative_l2),
        (f"relative L2 after matching neurons (fresh networks: {number(comparison.null)})", comparison.aligned),
        ("cosine of the weights", comparison.cosine),
        ("summed |a − b| of the weights", comparison.summed_absolute_difference),
    )
    for title, matrix in named:
        # of many networks some are matched
        if matrix is not None and len(matrix) == len(comparison.fingerprints):
            yield title, matrix


def conclusion(networks: Sequence[TrackedNetwork], comparison: Comparison) -> str:
    """Return the result of the fingerprints, and which comparisons weren't possible."""
    count = len(networks)
    text = f"{comparison.distinct} different fingerprints among {count} networks"
    if comparison.distinct == 1:
        text = f"The same weights, bit for bit: one fingerprint for {headlines.share(count, count)} networks"
    if comparison.differing_shapes:
        text += f"; the weights can't be compared, since the shapes differ: {comparison.differing_shapes}"
    if comparison.disagreement is None and not all(network.target.size for network in networks):
        text += "; the functions aren't compared, since a file of weights tells only the weights"
        if comparison.aligned is None and comparison.relative_l2 is not None and not all(network.config for network in networks):
            text += ", and neurons aren't matched, since it doesn't tell their activation (--activation)"
    elif comparison.disagreement is None:
        text += "; the functions aren't compared where the validation rows differ"
    for trial, (kept, raced) in _kept_of_race(networks).items():
        text += f"; of the {raced} replicates of {trial}, the networks of the first {kept} are kept"
    if comparison.verdict:
        text += f". Verdict: {comparison.verdict}: {'; '.join(comparison.verdict.reasons)}"
    return text + "."


def _kept_of_race(networks: Sequence[TrackedNetwork]) -> dict[str, tuple[int, int]]:
    """Return how many networks the run of a trial keeps, and how many replicates the race gave it, where these are more."""
    counts = {
        address(net.study, net.trial, net.trial_number): (int(net.config["replicates"]["count"]), len(net.race_losses))
        for net in networks
        if net.race_losses
    }
    return {trial: (kept, raced) for trial, (kept, raced) in counts.items() if raced > kept}


def as_json(networks: Sequence[TrackedNetwork], comparison: Comparison, lead: Better | None = None) -> dict[str, Any]:
    """Return everything that the tables show, in full precision. lead: which of two trials is better."""
    return {
        "networks": [
            {
                "run_id": network.run_id or None,
                "study": network.study or None,
                "name": network.name,
                "settings": as_texts(network.settings),
                "seeds": _seeds(network),
                "train_loss": network.train_loss,
                "val_loss": network.val_loss,
                "convergence": network.label,
                "fingerprint": sha,
                "recorded_fingerprint": network.fingerprint,
            }
            for network, sha in zip(networks, comparison.fingerprints, strict=True)
        ],
        "differing_settings": differing(networks),
        "distinct_fingerprints": comparison.distinct,
        "differing_shapes": comparison.differing_shapes,
        "relative_l2": comparison.relative_l2,
        "cosine": comparison.cosine,
        "summed_absolute_difference": comparison.summed_absolute_difference,
        "disagreement": comparison.disagreement,
        "disagreement_kind": comparison.disagreement_kind,
        **_examined(comparison),
        "better": lead.text if lead else None,
        "functions_apart": two_trials.functions_apart(networks) or None,
        "conclusion": conclusion(networks, comparison),
    }


def _examined(comparison: Comparison) -> dict[str, Any]:
    if comparison.examined is None:
        return {"verdict": None, "places": comparison.places, "aligned": comparison.aligned, "null": comparison.null}
    return {
        "verdict": comparison.examined.verdict.name,
        "qualifier": comparison.examined.verdict.qualifier,
        "evidence": list(comparison.examined.verdict.reasons),
        **comparison.examined.arrays(),
    }
