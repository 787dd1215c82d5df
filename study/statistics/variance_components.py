"""Attribute the variation between replicates to sources of randomness, by random-effects analysis of variance on a crossed design.

A cell of the design is one replicate: a level (a seed) of every source. Its value is a number (a loss) or a vector (predictions,
weights), whose variances are summed over the coordinates. Training is deterministic given the seeds, so one observation per cell is
enough: no error can be confused with the interaction. The share of the interactions is the **chaos index**: the part that no single
source accounts for.

The model is x = μ + Σ_S e_S over all nonempty sets S of sources, e_S being drawn independently, with variance σ²_S, for each
combination of the levels of S. Let γ(S) be half the mean squared distance between cells that differ in exactly the sources of S.
Then E γ(S) = Σ σ²_T over all T that meet S, and so

    γ(all) − γ(not U) = Σ σ²_T over all nonempty T ⊆ U,

which inclusion and exclusion solves for each σ²_T. For two sources that is σ²_A = γ(AB) − γ(B), σ²_B = γ(AB) − γ(A) and
σ²_AB = γ(A) + γ(B) − γ(AB). On complete, balanced data these are the estimates of the analysis of variance, up to rounding:
σ²_AB = MS_AB and σ²_A = (MS_A − MS_AB) / b for two sources; σ²_ABC = MS_ABC, σ²_AB = (MS_AB − MS_ABC) / c and
σ²_A = (MS_A − MS_AB − MS_AC + MS_ABC) / (b c) for three (Searle, Casella & McCulloch, *Variance Components*, 1992, ch. 4). They are
unbiased, and may be negative; shares use the estimates with negative ones set to 0, so they are biased where there are few levels.
Only squared distances are needed, as in Anderson (2001, Austral Ecology 26, 32–46), so distances without vectors can be attributed
too.

Intervals come from resampling the levels of every source (the pigeonhole bootstrap: Owen 2007, Annals of Applied Statistics 1,
386–411), never pairs of replicates. A level that is drawn twice is not compared with itself: such pairs would hide the interaction
(on 8 × 8 vectors of 1,000 numbers no interval held its true share). The percentiles are those of Hesterberg (2015, The American
Statistician 69, 371–386), widened for the smallest number of levels of any source. In 150 to 200 simulated designs, 100 for three
sources, nominal 95% intervals held the truth in at least these percentages, over shares that range from one source alone to the
interaction alone:

```text
            main effects                        chaos index
levels      normal  exponential  vectors        normal  exponential  vectors
3 × 3           87           84       84            94           94       98
3 × 12          82           75       89            99           99       97
4 × 4           98           99       98           100          100      100
4 × 16          91           85       95            99           99       99
8 × 8           96           88       98            99           94      100
12 × 12         93           83       95            96           89       97
3 × 3 × 3       80           74       95           100          100      100
4 × 4 × 4       93           90       96           100          100      100
```

The lowest are for a source that has nine tenths of the variance and few levels, or a skewed effect; elsewhere the intervals are
rather too wide. Where a three-way interaction has all the variance, its interval ends a little short of 1. Where a source has only
two levels nothing is known, and all intervals are [0, 1].
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from study import seeds
from study.errors import BadInput, Fault
from study.records.arrays import Array, Doubles

CONFIDENCE = 0.95
RESAMPLES = 1000
BLOCK = 2**22  # numbers held at a time


@dataclass(frozen=True)
class Component:
    """The contribution of one source, or of an interaction.

    variance: the unbiased estimate, which may be negative. share: of the total variance, from 0 to 1; 0 if all cells are equal.
    low, high: the interval of the share.
    """

    variance: float
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Attribution:
    """components: by source, such as `init`, then by interaction, such as `init × order`; the shares sum to 1.

    chaos: all interactions together. total_sd: the root of the total variance, the SD between replicates whose sources all vary.
    """

    components: dict[str, Component]
    chaos: Component
    total_sd: float


def attribute(values: npt.ArrayLike, design: Mapping[str, int]) -> Attribution:
    """Attribute the variance of `values` to its sources.

    values: [cells] or [cells, …], the last source's level changing fastest, or with an axis for each source, [levels, levels, …].
    design: source → number of levels, such as {"init": 8, "order": 8}; two or more sources of two or more levels.
    Raises BadInput.
    >>> attribution = study.attribute([1.0, 1.0, 3.0, 3.0], {"init": 2, "order": 2})
    >>> {source: component.share for source, component in attribution.components.items()}
    {'init': 1.0, 'order': 0.0, 'init × order': 0.0}
    """
    levels = _levels(design)
    array = np.asarray(values)
    faults = []
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_) or np.iscomplexobj(array):
        faults.append(Fault("values", array.dtype.name, "real numbers"))
    cells = int(np.prod(levels))
    if array.shape[: len(levels)] != levels and array.shape[:1] != (cells,):
        faults.append(Fault("values", array.shape, f"{_crossed(design)} first: one axis each, or a single one of {cells} cells"))
    if faults:
        raise BadInput(faults)
    rows = array.reshape(cells, -1)
    if not rows.shape[1]:
        raise BadInput([Fault("values", array.shape, "at least one number per cell")])
    _require_finite("values", rows)
    return _attribution(_squared_distances(rows), design)


def attribute_distances(distances: npt.ArrayLike, design: Mapping[str, int]) -> Attribution:
    """Attribute the variance to its sources, from the distance between each two cells, [cells, cells]; design as in `attribute`.

    Euclidean distances give the same as `attribute` on the vectors. Others, such as distances after aligning each pair, give the
    components of half the mean squared distance, which may be negative for other reasons than chance. Raises BadInput.
    """
    levels = _levels(design)
    matrix = np.asarray(distances, dtype=np.float64)
    cells = int(np.prod(levels))
    if matrix.shape != (cells, cells):
        raise BadInput([Fault("distances", matrix.shape, f"({cells}, {cells}), the cells of {_crossed(design)}")])
    _require_finite("distances", matrix)
    faults = []
    if not np.allclose(matrix, matrix.T):
        faults.append(Fault("distances", "a matrix that is not symmetric", "the same distance both ways"))
    if np.any(np.diag(matrix) != 0):
        faults.append(Fault("distances", float(np.diag(matrix)[np.diag(matrix) != 0][0]), "0 on the diagonal"))
    if np.any(matrix < 0):
        faults.append(Fault("distances", float(matrix.min()), "at least 0"))
    if faults:
        raise BadInput(faults)
    return _attribution(matrix**2, design)


def _levels(design: Mapping[str, int]) -> tuple[int, ...]:
    if len(design) < 2:
        raise BadInput([Fault("design", dict(design), "at least two sources")])
    needed = "a whole number of at least 2"
    if faults := [Fault(f"design.{source}", count, needed) for source, count in design.items() if not _is_plural(count)]:
        raise BadInput(faults)
    return tuple(int(count) for count in design.values())


def _is_plural(count: object) -> bool:
    return isinstance(count, int | np.integer) and bool(count >= 2)


def _crossed(design: Mapping[str, int]) -> str:
    return " × ".join(f"{count} {source}" for source, count in design.items())


def _require_finite(key: str, rows: Array) -> None:
    bad = ~np.isfinite(rows)
    if bad.any():
        cell, column = (int(i) for i in np.argwhere(bad)[0])
        raise BadInput([Fault(key, f"{rows[cell, column]} in cell {cell}", "finite numbers")])


def _squared_distances(rows: Array) -> Doubles:
    """Return the squared distance of each two rows of [cells, coordinates], [cells, cells], a block of coordinates at a time.

    The faster ‖a‖² + ‖b‖² − 2 a·b would not give exactly 0 for equal rows.
    """
    width = max(1, BLOCK // len(rows))
    blocks = (rows[:, start : start + width].astype(np.float64) for start in range(0, rows.shape[1], width))
    pairs = scipy.spatial.distance
    return pairs.squareform(sum(pairs.pdist(block, "sqeuclidean") for block in blocks))


def _attribution(squares: Doubles, design: Mapping[str, int]) -> Attribution:
    """squares: [cells, cells]."""
    levels = _levels(design)
    sources = tuple(design)
    sets = _subsets(len(levels))
    crossed = [len(chosen) > 1 for chosen in sets]

    estimates = _estimates(squares, [np.ones((1, count)) for count in levels])[0]
    parts = -(-RESAMPLES * (len(squares) // levels[0]) ** 2 // BLOCK)
    weights = [np.array_split(counts, parts) for counts in _resampled_levels(levels, RESAMPLES)]
    resampled = _shares(np.concatenate([_estimates(squares, part) for part in zip(*weights, strict=True)]))
    tail = _expanded_tail(min(levels))

    def component(variance: float, share: float, shares: Doubles) -> Component:
        # with two levels every resample holds the same two, which says nothing about the distance of others
        low, high = np.quantile(shares, [tail, 1 - tail]) if min(levels) > 2 else (0.0, 1.0)
        return Component(float(variance), float(share), float(min(low, share)), float(max(high, share)))

    shares = _shares(estimates)
    return Attribution(
        components={
            " × ".join(sources[axis] for axis in chosen): component(estimates[i], shares[i], resampled[:, i])
            for i, chosen in enumerate(sets)
        },
        chaos=component(estimates[crossed].sum(), shares[crossed].sum(), resampled[:, crossed].sum(axis=1)),
        total_sd=float(np.sqrt(np.maximum(estimates, 0).sum())),
    )


def _subsets(count: int) -> list[tuple[int, ...]]:
    """Return all nonempty sets of `count` axes, the small ones first."""
    return [chosen for size in range(1, count + 1) for chosen in itertools.combinations(range(count), size)]


def _estimates(squares: Doubles, weights: Sequence[Doubles]) -> Doubles:
    """Return the unclipped variance of each set of sources, [N, sets], for N weightings of the levels, [N, levels] per source."""
    axes = tuple(range(len(weights)))
    levels = [weight.shape[1] for weight in weights]
    by_source = squares.reshape(*levels, *levels).transpose([i for axis in axes for i in (axis, axis + len(axes))])
    same = [weight[:, :, None] * np.eye(weight.shape[1]) for weight in weights]
    other = [weight[:, :, None] * weight[:, None, :] * (1 - np.eye(weight.shape[1])) for weight in weights]

    gamma: dict[tuple[int, ...], Doubles] = {(): np.zeros(len(weights[0]))}
    for chosen in _subsets(len(axes)):
        total, norm = by_source.reshape(1, -1), np.ones(len(weights[0]))
        for axis in axes:
            of_levels = (other if axis in chosen else same)[axis].reshape(len(norm), 1, -1)
            total = (of_levels @ total.reshape(len(total), of_levels.shape[2], -1))[:, 0]
            norm = norm * of_levels.sum(axis=(1, 2))
        gamma[chosen] = total[:, 0] / norm / 2
    below = {chosen: gamma[axes] - gamma[tuple(a for a in axes if a not in chosen)] for chosen in [(), *_subsets(len(axes))]}
    return np.stack(
        [
            sum((-1) ** (len(whole) - len(part)) * below[part] for part in below if set(part) <= set(whole))
            for whole in _subsets(len(axes))
        ],
        axis=1,
    )


def _shares(estimates: Doubles) -> Doubles:
    """Return shares of the total, […, sets], 0 where the total is 0."""
    positive = np.maximum(estimates, 0)
    whole = positive.sum(axis=-1, keepdims=True)
    return np.divide(positive, whole, out=np.zeros_like(positive), where=whole > 0)


def _resampled_levels(levels: Sequence[int], count: int) -> list[Doubles]:
    """Return how often each level is drawn, [count, levels] per source, in resamples that hold at least two different levels."""
    rng = seeds.generator(0)
    resampled = []
    for size in levels:
        drawn = rng.multinomial(size, np.full(size, 1 / size), size=4 * count)
        resampled.append(drawn[np.count_nonzero(drawn, axis=1) > 1][:count].astype(np.float64))
    return resampled


def _expanded_tail(levels: int) -> float:
    """Return the tail of a percentile interval that is widened for its small sample (Hesterberg 2015)."""
    wide = np.sqrt(levels / (levels - 1)) * scipy.stats.t.ppf((1 + CONFIDENCE) / 2, levels - 1)
    return float(scipy.stats.norm.cdf(-wide))
