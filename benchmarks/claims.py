"""Do the literature's claims about randomness hold for small MLPs? Each is put to the test through the public functions.

Every claim is a function whose docstring holds its rule, which was written before our numbers were seen and is printed with them.
A rule names a range. A claim holds if the 95% interval of our number lies in it and fails if it lies outside. If it straddles an
end, the claim is undecided: that a wide interval can't refute a claim is no evidence for it. A claim that fails is a finding.

What was added after a first look, because networks at SGD .3 turned out to learn nothing: where half of the networks or more are
stuck or diverged the answer is 'no test'; and the rows of CHOSEN. That is SGD .3 with one hidden layer of 64 and inputs scaled to
[0, 1], the only one of ten variants in which all networks learned and one bit made a difference (learning rates .03, .1 and .3,
momentum or none, batches of 32 or 128, one layer or two, either scaling; 8 networks, 40 or 60 epochs; one bit wasn't tried in two
in which most learned little). Its rows can show that there is such a regime, and nothing of how common it is.

Two things are alike if the ratio of theirs lies between 2/3 and 3/2. Intervals are the jackknife's over networks (Student's t), or
over the levels of both sources where they are crossed; those of shares are `attribution`'s. "Before" is what was measured for this
project in NumPy, of which neither the network, the batch size, nor in most rows the number of epochs was kept. Ours are the
project's defaults (64-64 relu, batch 32) and, on the digits, 1,200 rows for training, 597 for validation, and 200 epochs.
"""

from __future__ import annotations

import argparse
import inspect
import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

import study
from benchmarks import settling
from benchmarks.engine import versions
from benchmarks.findings import (
    ANY,
    DIGITS,
    QUICK,
    UNKNOWN,
    Finding,
    Sizes,
    Values,
    accuracy_sd,
    churn,
    crossed,
    jackknife,
    labels,
    learned,
    progress,
    ratio,
    varying,
    weights_apart,
)
from study.analysis import barrier, forward
from study.records.cohort import Cohort
from study.records.dataset import Dataset
from study.statistics import intervals
from study.statistics.intervals import MeanInterval

ADAM = ("optimizer=adam", "optimizer.learning_rate=0.001")
SGD = ("optimizer=sgd", "optimizer.momentum=0.9", "optimizer.learning_rate=0.3")
ALIKE = (2 / 3, 3 / 2)
CHOSEN = (*SGD, "model.units=[64]", "data.normalise=minmax")
NO_BARRIER = 0.02  # of the trivial loss, as in `verdict`
POINT = 0.01


@dataclass(frozen=True)
class Barriers:
    """Means over all pairs of networks: of the training loss, raw and aligned, and of the raw validation error."""

    raw: MeanInterval
    aligned: MeanInterval | None
    error: MeanInterval
    largest_error: float


def barriers(cohort: Cohort, count: int, align: bool) -> Barriers:
    """Of the first `count` networks."""
    spec, data = cohort.spec, study.load_data(cohort.spec)
    nets = cohort.networks()[:count]
    pairs = list(itertools.combinations(range(count), 2))
    with progress(f"{len(pairs)} barriers between networks {nets[0].architecture}"):
        raw = barrier.between([(nets[i], nets[j]) for i, j in pairs], data, spec.model, spec.loss)
        moved = None
        if align:
            matches = [study.align(nets[i], nets[j], spec.model.activation) for i, j in pairs]
            moved = barrier.between([(each.reference, each.network) for each in matches], data, spec.model, spec.loss)

    def mean(heights: Values) -> MeanInterval:
        matrix = np.zeros((count, count))
        for (i, j), height in zip(pairs, heights, strict=True):
            matrix[i, j] = matrix[j, i] = height
        return intervals.mean_of_pairs(matrix)

    return Barriers(
        raw=mean(raw.loss.barrier),
        aligned=mean(moved.loss.barrier) if moved else None,
        error=mean(raw.error.barrier),
        largest_error=float(raw.error.barrier.max()),
    )


def trivial(cohort: Cohort) -> float:
    data: Dataset = study.load_data(cohort.spec)
    return forward.trivial_loss(cohort.spec.loss, data.y_train, data.outputs)


# -- the claims ------------------------------------------------------------------------------------------------------------------


def sources(sizes: Sizes) -> Iterator[Finding]:
    """Sources of nondeterminism act alike (arXiv:2103.04514), in what networks do and not in their weights.

    Rule: the SD of the accuracy and the churn under one source alone are alike those under both, and the weights that differ in
    order alone are less than half as far apart as those that differ in init alone.
    """
    init, order, both = (varying(names, sizes.replicates, sizes.epochs, *ADAM) for names in ("init", "order", "init,order"))
    for quantity, measure, published, before in (
        ("accuracy SD, points", accuracy_sd, (".22", ".25", ".26", ".85", ".96"), (".34", ".22", ".32", "1.06", ".69")),
        ("churn, %", churn, ("10.6–10.7",) * 3 + ("1.0", "1.0"), ("1.55", "1.31", "1.69", ".92", ".78")),
    ):
        found = [measure(cohort) for cohort in (init, order, both)]
        found += [ratio(each, found[2]) for each in found[:2]]
        names = ("init", "order", "both", "init ÷ both", "order ÷ both")
        for name, each, theirs, earlier in zip(names, found, published, before, strict=True):
            yield Finding(f"{quantity}: {name}", theirs, earlier, each, ALIKE if "÷" in name else None)
    apart = [weights_apart(cohort) for cohort in (init, order, both)]
    for name, each, earlier, cohort in zip(
        ("init", "order", "both"), apart, ("1.40", ".32", "1.40"), (init, order, both), strict=True
    ):
        yield Finding(f"relL2 of the weights: {name}", ANY, earlier, each, note=labels(cohort))
    yield Finding("relL2 of the weights: order ÷ init", ANY, ".23", ratio(apart[1], apart[0]), (0, 0.5))


def one_bit(sizes: Sizes) -> Iterator[Finding]:
    """One bit in one initial weight makes networks as different as all sources together do (arXiv:2103.04514).

    Rule: the churn of networks that differ in one unit of the last place of one weight is alike that of networks that differ in
    init and order, at a stable learning rate (Adam .001) and at an unstable one (SGD .3, momentum .9).
    """
    for name, settings, before in (
        ("Adam .001", ADAM, ("0", "1.69", "0", "4e-5–2e-4")),
        ("SGD .3", SGD, ("2.65", "2.83", ".94", ANY)),
        ("SGD .3 CHOSEN", CHOSEN, (ANY,) * 4),
    ):
        ulp = varying("ulp", sizes.floor if settings is ADAM else sizes.replicates, sizes.epochs, *settings)
        both = varying("init,order", sizes.replicates, sizes.epochs, *settings)
        near, far = churn(ulp), churn(both)
        yield Finding(f"{name}, churn, %: ulp", "10.6", before[0], near, note=labels(ulp))
        yield Finding(f"{name}, churn, %: both", "10.6–10.7", before[1], far, note=labels(both))
        both_learned = learned(ulp) and learned(both)
        yield Finding(f"{name}, churn: ulp ÷ both", "1.0", before[2], ratio(near, far), ALIKE, learned=both_learned)
        yield Finding(f"{name}, accuracy SD, points: ulp", ".21", ANY, accuracy_sd(ulp))
        yield Finding(f"{name}, accuracy SD, points: both", ".26", ANY, accuracy_sd(both))
        yield Finding(f"{name}, relL2 of the weights: ulp", ANY, before[3], weights_apart(ulp))
    early = varying("ulp", sizes.floor, 20, *ADAM)
    yield Finding("Adam .001, relL2 after 20 epochs: ulp", ANY, "1e-7", weights_apart(early))


def matching(sizes: Sizes) -> Iterator[Finding]:
    """Weight matching removes the loss barrier, and width helps (arXiv:2209.04836).

    Rule: the aligned barrier of the widest networks with two hidden layers, and of those with six, is at most .02 trivial losses;
    and it is smaller at the greatest width than at the least.
    """
    before = {8: ("2.52", ".90"), 32: ("1.41", ".148"), 128: (".583", ".031"), 512: (".321", ".0046")}
    by_width: list[MeanInterval] = []
    for width in sizes.widths:
        cohort = varying("init,order", sizes.paired, sizes.epochs, *ADAM, f"model.units=[{width},{width}]")
        found = barriers(cohort, sizes.paired, align=True)
        assert found.aligned
        by_width.append(found.aligned)
        yield Finding(f"train-loss barrier, 2 × {width}: raw", ANY, before[width][0], found.raw, note=labels(cohort))
        limit = (0.0, NO_BARRIER * trivial(cohort)) if width == sizes.widths[-1] else None
        yield Finding(
            f"train-loss barrier, 2 × {width}: aligned", "0 (3 × 512)" if limit else ANY, before[width][1], found.aligned, limit
        )
    yield Finding("aligned barrier, greatest ÷ least width", "< 1", ".005", ratio(by_width[-1], by_width[0]), (-np.inf, 1))
    cohort = varying("init,order", sizes.paired, sizes.epochs, *ADAM, "model.units=[64,64,64,64,64,64]")
    found = barriers(cohort, sizes.paired, align=True)
    assert found.aligned
    yield Finding("train-loss barrier, 6 × 64: raw", ANY, "2.35", found.raw, note=labels(cohort))
    yield Finding("train-loss barrier, 6 × 64: aligned", "0", "2.23", found.aligned, (0.0, NO_BARRIER * trivial(cohort)))


def order(sizes: Sizes) -> Iterator[Finding]:
    """Small networks are stable to the order of their batches: it leaves them in one linearly connected basin (arXiv:1912.05671).

    Rule: between networks that differ in order alone the validation error rises by less than one point on average.
    """
    by_source = {}
    for name, before in (("order", ".000–.005"), ("init", ".42–.86")):
        by_source[name] = found = barriers(varying(name, sizes.replicates, sizes.epochs, *ADAM), sizes.paired, align=False)
        yield Finding(f"train-loss barrier: {name}", ANY, before, found.raw)
    for name, published in (("order", "< .01"), ("init", ANY)):
        found = by_source[name]
        limit = (-np.inf, POINT) if name == "order" else None
        yield Finding(f"error barrier: {name}", published, ANY, found.error, limit, f"largest {found.largest_error:.3f}")


def regime(sizes: Sizes) -> Iterator[Finding]:
    """Which source is to blame for the spread of the test cross-entropy is a matter of regime (measured for this project).

    Rule: init has more than half of the variance under Adam .001, and the interaction of init and order has under SGD .3.
    """
    for name, settings, before, most in (
        ("Adam .001", ADAM, (".90", ".02", ".09"), "init"),
        ("SGD .3", SGD, ("0", ".01", ".99"), "init × order"),
        ("SGD .3 CHOSEN", CHOSEN, (ANY,) * 3, "init × order"),
    ):
        cohort = crossed("init,order", sizes.levels, sizes.epochs, *DIGITS, *settings)
        losses = cohort.final(cohort.val_loss)
        if not np.isfinite(losses).all():
            yield Finding(f"{name}, share: {most}", ANY, ANY, UNKNOWN, (0.5, 1), labels(cohort), learned=False)
            continue
        found = study.attribute(losses, {"init": sizes.levels, "order": sizes.levels})
        for (source, each), earlier in zip(found.components.items(), before, strict=True):
            share = MeanInterval(each.share, each.low, each.high)
            note = f"SD {found.total_sd:.3g}; {labels(cohort)}" if source == "init" else ""
            within = (0.5, 1.0) if source == most else None
            yield Finding(f"{name}, share: {source}", ANY, earlier, share, within, note, learned(cohort))


def bootstrap(sizes: Sizes) -> Iterator[Finding]:
    """The initial weights make less than half of the variance that the bootstrap of the data does (arXiv:2103.03098, Fig. 1).

    Rule: the variance of the validation loss over init with the data held, divided by that over the data with init held (means
    over what is held), is less than .5. The interval is that of the logarithm.
    """
    for name, before in (("diabetes", ".07"), ("friedman1", ".07"), ("breast_cancer", ".29")):
        cohort = crossed("init,data", sizes.many, sizes.small_epochs, f"data={name}", "data.resample=bootstrap", *ADAM)
        losses = cohort.final(cohort.val_loss).astype(np.float64).reshape(sizes.many, sizes.many)
        log_ratio = jackknife(isolated_log_ratio, losses, axes=2)
        quotient = MeanInterval(*(float(np.exp(each)) for each in (log_ratio.mean, log_ratio.low, log_ratio.high)))
        yield Finding(f"{name}, variance: init ÷ data", "< .5", before, quotient, (0, 0.5), labels(cohort))
        found = study.attribute(losses, {"init": sizes.many, "data": sizes.many})
        for source, each in found.components.items():
            yield Finding(f"{name}, share: {source}", ANY, ANY, MeanInterval(each.share, each.low, each.high))


def isolated_log_ratio(losses: Values) -> float:
    """losses: [init, data]."""
    return float(np.log(np.var(losses, axis=0, ddof=1).mean() / np.var(losses, axis=1, ddof=1).mean()))


CLAIMS: dict[str, Callable[[Sizes], Iterator[Finding]]] = {
    claim.__name__: claim for claim in (sources, one_bit, matching, order, regime, bootstrap, *settling.CLAIMS)
}


def show(name: str, findings: list[Finding]) -> None:
    print(f"\n{name}: {inspect.getdoc(CLAIMS[name])}")
    print(f"{'':<44} {'published':>12} {'before':>10}   {'ours':<34} {'in':<12}")
    for each in findings:
        ours = f"{each.ours.mean:.3g} [{each.ours.low:.3g}, {each.ours.high:.3g}]"
        within = "" if each.within is None else f"{each.within[0]:.2g} … {each.within[1]:.2g}"
        line = (
            f"{each.quantity:<44} {each.published:>12} {each.before:>10}   {ours:<34} {within:<12} {each.verdict:<10} {each.note}"
        )
        print(line.rstrip(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute: few networks and epochs; says nothing of the claims")
    parser.add_argument("--only", choices=CLAIMS, metavar="NAME", help=f"one claim: {', '.join(CLAIMS)}")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    start = time.perf_counter()
    sizes = QUICK if arguments.quick else Sizes()
    print(f"{versions()}; {os.cpu_count()} cores\n{sizes}", flush=True)
    if arguments.quick:
        print("QUICK: that all runs, and nothing of the claims")
    verdicts: dict[str, list[str]] = {}
    for name in [arguments.only] if arguments.only else CLAIMS:
        findings = list(CLAIMS[name](sizes))
        show(name, findings)
        verdicts[name] = [each.verdict for each in findings if each.verdict]
    print()
    for name, found in verdicts.items():
        print(f"{name:<10} {', '.join(f'{found.count(verdict)} {verdict}' for verdict in dict.fromkeys(found))}")
    print(f"{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
