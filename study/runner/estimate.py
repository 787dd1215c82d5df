"""Estimate how long a study will take and how much disk it needs, by training a few of its settings briefly.

A trial's time consists of compiling (once per program, which depends on shapes and kinds), training (epochs, steps, and the size of
a step), analysing its networks, and the overhead of Hydra, Optuna and MLflow. All but the overhead is measured on this machine; a
study's own trials, if there are enough, replace these measurements.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy

from study.analysis.pairwise import MOST
from study.clock import Clock
from study.data import batches, dataset
from study.engine import training
from study.engine.width import available_cores, width_of
from study.records.arrays import Scalar
from study.records.dataset import Dataset
from study.records.network import parameter_count, parameter_shapes
from study.records.trial import TrialRecord
from study.reporting import curve_picture
from study.runner import trial
from study.search.space import Choice, Domain, Space, active
from study.settings.loss import outputs as network_outputs
from study.settings.spec import TrialSpec
from study.settings.training import ALL_EPOCHS
from study.tracking import warm_start
from study.tracking.spool import NoRecorder

PROBING_SECONDS, LEG_SECONDS, MOST_PROBED = 10.0, 1.0, 16
# a first guess before any measurement: operations per second on one core
SPEED = 5e9
# with so many trials of its own, a study needs no probes
ENOUGH_TRIALS = 3
# the overhead, measured once with `mlp-study -m` on two cores (2.1 GHz): a trial's config and folder, relative to composing it;
# Optuna; MLflow's writer, per point and per run; the final pages, relative to the start, which loads as much
CONFIG_SHARE, SEARCH_SECONDS, POINT_SECONDS, RUN_SECONDS, END_SHARE = 1.8, 0.04, 1e-4, 0.015, 0.9
# estimates are off by this much either way, since machines are shared and caches may be cold
SLACK = 0.7, 1.5
# share of the training that early stopping or pruning may save
MOST_SAVED = 0.7

# bytes, fitted to mlflow.db and optuna.db after studies of 4 and 12 trials, 8 and 32 replicates, 100 and 400 epochs;
# tests/test_command_line.py compares them with a study's
MLFLOW_BASE, MLFLOW_RUN, MLFLOW_POINT, POINTS_A_TRIAL, POINTS_A_REPLICATE = 990_000, 13_100, 253, 19, 5
OPTUNA_BASE, OPTUNA_TRIAL, OPTUNA_REPLICATE = 115_000, 3_400, 85
BLOCK, FOLDER_BLOCKS, CONFIG_BLOCKS = 4096, 2, 6
# each page includes its drawing library: report.html, in the launch's folder and with tracking in the study's run; with tracking
# also portrait.html, in the folder and in its trial's run
PAGE = 1_950_000


@dataclass(frozen=True)
class Estimate:
    """A time in seconds, with its range. parts: of the likely time; basis: the measurements it rests on, as text."""

    likely: float
    low: float
    high: float
    parts: Mapping[str, float]
    basis: str


@dataclass(frozen=True)
class Probe:
    """Seconds by phase of a trial, extrapolated from a shorter one.

    compile: None if the program was compiled before; then the analysis reused cached values too, such as the null distance.
    """

    spec: TrialSpec
    compile: float | None
    train: float
    analyse: float


def from_records(records: Sequence[TrialRecord], remaining: int, composing: float) -> Estimate | None:
    """Estimate from a study's own trials; None if there are too few."""
    done = [record.seconds for record in records if record.state in ("complete", "pruned") and record.seconds]
    if len(done) < ENOUGH_TRIALS:
        return None
    # a launch's first trial also loads TensorFlow
    names = dict.fromkeys(name for seconds_of_trial in done for name in seconds_of_trial if name != "import")
    means = {name: float(np.mean([seconds_of_trial.get(name, 0.0) for seconds_of_trial in done])) for name in names}
    means["compose and search"] = CONFIG_SHARE * composing + SEARCH_SECONDS
    parts = {name: remaining * seconds for name, seconds in means.items()}
    low, high = SLACK
    total = sum(parts.values())
    return Estimate(total, low * total, high * total, parts, f"this study's {len(done)} earlier trials")


def from_probes(
    probes: Sequence[Probe],
    sampled: Sequence[TrialSpec],
    programs: int,
    remaining: int,
    composing: float,
    learns: bool = False,
    prunes: bool = False,
) -> Estimate:
    """Estimate from probes. sampled: settings of some of the trials; programs: the number of different programs they need.

    learns: the sampler may come to prefer cheap or expensive settings; prunes: trials may end before their last epoch.
    """
    # the first probe includes one-time loading
    fresh = [probe for probe in probes if probe.compile is not None]
    fresh = fresh[1:] or fresh
    known = [probe for probe in probes if probe.compile is None] or fresh
    trains = _predicted(sampled, list({*fresh, *known}), lambda probe: probe.train, work)
    compiles = _predicted(sampled, fresh, lambda probe: probe.compile or 0.0, lambda spec: (1.0, float(len(spec.model.units))))
    first_analyses, analyses = (
        _predicted(sampled, some, lambda probe: probe.analyse, lambda spec: (1.0, float(_parameters(spec))))
        for some in (fresh, known)
    )
    written = remaining * float(np.mean([POINT_SECONDS * _points(spec) + RUN_SECONDS * _runs(spec) for spec in sampled]))
    parts = {
        "compose and search": remaining * (CONFIG_SHARE * composing + SEARCH_SECONDS),
        f"compile ({programs} programs)": programs * float(compiles.mean()),
        "train": remaining * float(trains.mean()),
        "analyse": programs * float(first_analyses.mean()) + max(0, remaining - programs) * float(analyses.mean()),
    }
    trained = sum(parts.values())
    # the writer works in parallel; only its remainder delays the end
    parts["records"] = max(0.1 * written, written - trained)
    total, times = sum(parts.values()), np.sort(trains + analyses)
    quarter = max(1, len(times) // 4)
    cheap, dear = (learns * remaining * float(some.mean() - times.mean()) for some in (times[:quarter], times[-quarter:]))
    if prunes or any(spec.training.patience or spec.training.until != ALL_EPOCHS for spec in sampled):
        cheap -= MOST_SAVED * parts["train"]
    low, high = SLACK
    basis = f"{len(probes)} short trainings on this machine"
    return Estimate(total, low * max(0.0, total + cheap), high * (total + dear), parts, basis)


def _predicted(
    sampled: Sequence[TrialSpec],
    probes: Sequence[Probe],
    seconds: Callable[[Probe], float],
    features: Callable[[TrialSpec], Sequence[float]],
) -> np.ndarray:
    """Predict the seconds of each sampled setting by non-negative least squares on the probes' relative errors.

    Uses only as many features as there are probes.
    """
    count = len(probes)
    known = np.array([features(probe.spec)[:count] for probe in probes])
    measured = np.maximum([seconds(probe) for probe in probes], 1e-6)
    weights, _ = scipy.optimize.nnls(known / measured[:, None], np.ones(count))
    return np.array([features(spec)[:count] for spec in sampled]) @ weights


def work(spec: TrialSpec, rows: int | None = None) -> tuple[float, float, float]:
    """Return the work of a training on the busiest core: layer operations, multiplications, and weight updates.

    rows: the number of training rows, if not all.
    """
    rows = rows or len(dataset.load_data(spec).x_train)
    size = batches.batch_size(spec, rows)
    steps = spec.training.epochs * batches.steps_per_epoch(rows, size, spec.training.partial_batch)
    rounds = math.ceil(math.ceil(spec.replicates.count / _width(spec, size)) / available_cores())
    weights = _parameters(spec)
    return (
        float(rounds * steps * (1 + len(spec.model.units))),
        float(rounds * steps * weights * size),
        float(rounds * steps * weights),
    )


def probe(spec: TrialSpec, uri: str) -> Probe:
    """Train and analyse a shortened trial. uri: the store of the run that `init.same_as` may name."""
    short = _shortened(spec)
    datasets = _cut(dataset.load_replicates(short), short)
    clock = Clock()
    trial.run_trial(short, datasets, NoRecorder(), clock, start=warm_start.load(short, datasets[0], uri))
    longer = float(np.dot(work(spec), _WEIGHTS) / np.dot(work(short, len(datasets[0].x_train)), _WEIGHTS))
    return Probe(spec, clock.seconds["compile"], longer * clock.seconds["train"], clock.seconds.get("analyse", 0.0))


# of layer operations and multiplications, to scale a shortened training up
_WEIGHTS = (1.0, 1.0 / 20_000, 0.0)


def _shortened(spec: TrialSpec) -> TrialSpec:
    """Return the trial with at most one leg and MOST_PROBED replicates."""
    replicates, training = spec.replicates, spec.training
    if replicates.crossed is None:
        replicates = replace(replicates, count=min(replicates.count, MOST_PROBED))
    leg = replace(spec, replicates=replicates, training=replace(training, epochs=min(training.epochs, training.leg_epochs)))
    affordable = int(leg.training.epochs * LEG_SECONDS / _guess_seconds(leg))
    return leg if affordable >= leg.training.epochs else replace(leg, training=replace(leg.training, epochs=max(1, affordable)))


def _cut(datasets: Sequence[Dataset], spec: TrialSpec) -> list[Dataset]:
    """Drop rows so that even one epoch of very large data fits into LEG_SECONDS."""
    share = LEG_SECONDS / _guess_seconds(spec)
    if spec.training.epochs > 1 or share >= 1:
        return list(datasets)

    def rows(of: int) -> int:
        return max(min(of, batches.batch_size(spec, 1)), math.ceil(share * of))

    def cut(data: Dataset) -> Dataset:
        return data.part(slice(rows(len(data.x_train))), slice(rows(len(data.x_val))))

    done = {id(data): cut(data) for data in datasets}
    return [done[id(data)] for data in datasets]


def _guess_seconds(spec: TrialSpec) -> float:
    return max(6 * _width(spec, batches.batch_size(spec, len(dataset.load_data(spec).x_train))) * work(spec)[1] / SPEED, 1e-9)


def _width(spec: TrialSpec, batch_size: int) -> int:
    return width_of(dataset.load_data(spec).layer_sizes(spec), batch_size)


def _parameters(spec: TrialSpec) -> int:
    return parameter_count(dataset.load_data(spec).layer_sizes(spec), spec.model.normalisation)


def _shapes(spec: TrialSpec) -> dict[str, tuple[int, ...]]:
    return parameter_shapes(dataset.load_data(spec).layer_sizes(spec), spec.model.normalisation)


def program_signature(spec: TrialSpec) -> object:
    """Return a signature; trials that share it share one compiled program."""
    return training.signature_of(spec, dataset.load_data(spec))


def draw(space: Space, count: int, seed: int) -> list[dict[str, Scalar]]:
    """Draw settings from a space at random. space: sorted by `ordered`."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(count):
        params: dict[str, Scalar] = {}
        for key, domain in space.items():
            if active(domain, params):
                params[key] = _drawn(domain, rng)
        drawn.append(params)
    return drawn


def _drawn(domain: Domain, rng: np.random.Generator) -> Scalar:
    if isinstance(domain, Choice):
        return domain.values[int(rng.integers(len(domain.values)))]
    if domain.log:
        value = math.exp(rng.uniform(math.log(domain.low), math.log(domain.high)))
    else:
        value = float(rng.uniform(domain.low, domain.high))
    step = domain.step or (1 if domain.whole else None)
    if step:
        value = domain.low + step * round((value - domain.low) / step)
    return int(value) if domain.whole else value


def study_bytes(sampled: Sequence[TrialSpec], trials: int, tracked: bool, winners: int = 0) -> dict[str, int]:
    """Estimate a study's bytes on disk by file or folder. sampled: some of its trials; pruned and failed ones keep less.

    winners: replicates of the winner of a race, at most, which have a run of their own; other later rounds keep next to nothing.
    """
    replicates = float(np.mean([spec.replicates.count for spec in sampled]))
    kept = {"optuna.db": OPTUNA_BASE + round(trials * (OPTUNA_TRIAL + OPTUNA_REPLICATE * replicates))}
    pages = PAGE * (1 + (tracked and replicates > 1))
    kept["multirun"] = pages + (trials + (winners > 0)) * CONFIG_BLOCKS * BLOCK
    if not tracked:
        return kept
    kept |= _tracked(sampled, trials, pages)
    if winners:
        whole = [replace(spec, replicates=replace(spec.replicates, count=winners)) for spec in sampled]
        more = _tracked(whole, 1, 0)
        kept |= {"mlflow.db": kept["mlflow.db"] + more["mlflow.db"] - MLFLOW_BASE, "mlruns": kept["mlruns"] + more["mlruns"]}
    return kept


def trial_bytes(spec: TrialSpec, tracked: bool) -> dict[str, int]:
    """Estimate a single trial's bytes on disk by file or folder."""
    page = PAGE * (tracked and spec.replicates.count > 1)
    kept = {"outputs": CONFIG_BLOCKS * BLOCK + page}
    return kept | _tracked([spec], 1, page) if tracked else kept


def _tracked(sampled: Sequence[TrialSpec], trials: int, more: int) -> dict[str, int]:
    """Estimate MLflow's bytes for trials and for files of `more` bytes."""
    rows = np.mean([MLFLOW_RUN * _runs(spec) + MLFLOW_POINT * _points(spec) for spec in sampled])
    files = np.mean([_artifacts(spec) for spec in sampled])
    return {"mlflow.db": MLFLOW_BASE + round(trials * rows), "mlruns": more + round(trials * files)}


def _runs(spec: TrialSpec) -> int:
    return 1 + spec.replicates.count


def _points(spec: TrialSpec) -> int:
    """Return the number of points in MLflow: two curves per replicate and of their mean, and a few more."""
    count = spec.replicates.count
    return 2 * (count + 1) * spec.training.epochs + POINTS_A_TRIAL + POINTS_A_REPLICATE * count


def _artifacts(spec: TrialSpec) -> int:
    """Estimate the bytes of a trial's files, each in whole blocks; `artifacts.write` writes them."""
    data, count, epochs = dataset.load_data(spec), spec.replicates.count, spec.training.epochs
    shapes, compared = _shapes(spec), min(count, MOST)
    values = len(data.x_val) * network_outputs(spec.loss, data.outputs)
    files = {
        "weights": 8 * count * _parameters(spec) + 500 * len(shapes),
        "predictions": 4 * (count + 1) * values + 600,
        "curves.npz": 12 * count * epochs + 1_100,
        "curves.parquet": 12 * count * epochs + 1_100,
        "comparison": (32 * compared**2 + 7_500) * (count > 1),
        "curves.svg": 24 * min(count, curve_picture.MOST_LINES) * min(epochs, curve_picture.MOST_POINTS) + 2_000,
        "errors": 1_000,
        "config": 900,
        "environment": 1_300,
        "manifest": 700,
    }
    return BLOCK * (FOLDER_BLOCKS + sum(math.ceil(size / BLOCK) for size in files.values()))
