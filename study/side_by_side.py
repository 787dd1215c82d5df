"""A comparison of tracked networks as tables, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from study.comparison import Comparison
from study.distance import Matrix, mean_of_pairs
from study.records import TrackedNetwork
from study.report import Table, number


def differing(networks: Sequence[TrackedNetwork]) -> list[str]:
    """The settings and seeds that aren't the same for all networks."""
    merged = [network.settings | network.seeds for network in networks]
    return [key for key in dict.fromkeys(key for each in merged for key in each) if len({each.get(key) for each in merged}) > 1]


def tables(networks: Sequence[TrackedNetwork], found: Comparison) -> Iterator[tuple[str, Table]]:
    """A title and a table for the networks themselves, and one for every number of a pair."""
    keys = differing(networks)
    marks = [str(place) for place in range(len(networks))]
    columns = ("", "run", *keys, "train loss", "val loss", "convergence", "fingerprint")
    rows = tuple(
        (
            mark,
            network.run_id[:8],
            *((network.settings | network.seeds).get(key, "–") for key in keys),
            number(network.train_loss, 4),
            number(network.val_loss, 4),
            network.label,
            sha[:16],
        )
        for mark, network, sha in zip(marks, networks, found.fingerprints, strict=True)
    )
    yield "networks, with the settings that differ", Table(columns, rows)
    for title, matrix in _matrices(found):
        if len(networks) > 12:
            spread = (number(mean_of_pairs(matrix)), number(float(matrix.min())), number(float(matrix.max())))
            yield title, Table(("mean of the pairs", "least", "most"), (spread,))
        else:
            yield (
                title,
                Table(("", *marks), tuple((mark, *map(number, row)) for mark, row in zip(marks, matrix.tolist(), strict=True))),
            )


def _matrices(found: Comparison) -> Iterator[tuple[str, Matrix]]:
    named = (
        ("relative L2 distance of the weights (unaligned; unrelated networks are about 1.41 apart)", found.relative_l2),
        ("cosine of the weights", found.cosine),
        ("summed |a − b| of the weights", found.summed_absolute_difference),
        (f"disagreement on the validation part ({found.disagreement_kind})", found.disagreement),
    )
    for title, matrix in named:
        if matrix is not None:
            yield title, matrix


def conclusion(networks: Sequence[TrackedNetwork], found: Comparison) -> str:
    """What the fingerprints say, and what couldn't be compared."""
    count = len(networks)
    text = f"{found.distinct} different fingerprints among {count} networks"
    if found.distinct == 1:
        text = f"The same weights, bit for bit: one fingerprint for all {count} networks"
    if found.differing_shapes:
        text += f"; the weights can't be compared, since the shapes differ: {found.differing_shapes}"
    if found.disagreement is None:
        text += "; the functions aren't compared, since the validation data differ"
    return text + "."


def as_json(networks: Sequence[TrackedNetwork], found: Comparison) -> dict[str, Any]:
    """Everything that the tables show, in full precision."""
    return {
        "networks": [
            {
                "run_id": network.run_id,
                "name": network.name,
                "settings": network.settings,
                "seeds": network.seeds,
                "train_loss": network.train_loss,
                "val_loss": network.val_loss,
                "convergence": network.label,
                "fingerprint": sha,
                "recorded_fingerprint": network.fingerprint,
            }
            for network, sha in zip(networks, found.fingerprints, strict=True)
        ],
        "differing_settings": differing(networks),
        "distinct_fingerprints": found.distinct,
        "differing_shapes": found.differing_shapes,
        "relative_l2": found.relative_l2,
        "cosine": found.cosine,
        "summed_absolute_difference": found.summed_absolute_difference,
        "disagreement": found.disagreement,
        "disagreement_kind": found.disagreement_kind,
        "conclusion": conclusion(networks, found),
    }
