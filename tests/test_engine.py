"""What the engine promises: one trace a program, bits that depend on the settings alone, and outcomes instead of exceptions."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import study
from study import seeds
from study.analysis import convergence, forward
from study.clock import Clock
from study.data import batches, dataset
from study.engine import compile_cache, stored_programs
from study.engine.program import program
from study.engine.training import CohortTraining, signature_of
from study.engine.width import WIDTH
from study.records.outcome import Completed, Failed, Pruned
from study.runner import trial
from study.settings.data import Diabetes, Digits
from study.settings.init import HeNormal
from study.settings.model import Model
from study.settings.optimizer import SGD, Adam, RMSprop
from study.settings.schedule import ReduceOnPlateau
from study.settings.spec import TrialSpec, as_mapping
from study.settings.training import Replicates, Training

DIABETES, DIGITS = Diabetes(test_fraction=0.0), Digits(test_fraction=0.0, validation_fraction=0.8)

train = cache(study.train)


def small(**sections):
    """Seven epochs in legs of three, the last one short; three replicates in a padded part."""
    common = {"model": Model((8,)), "training": Training(7, batch_size=64, leg_epochs=3), "replicates": Replicates(3)}
    common["data"] = DIABETES
    return TrialSpec(**(common | sections))


def with_replicates(spec, **changes):
    return dataclasses.replace(spec, replicates=dataclasses.replace(spec.replicates, **changes))


def with_training(spec, **changes):
    return dataclasses.replace(spec, training=dataclasses.replace(spec.training, **changes))


def fingerprints(trained):
    return [study.fingerprint(trained, replicate) for replicate in range(len(trained))]


def bits(*arrays):
    return [(array.dtype.str, array.shape, array.tobytes()) for array in arrays]


# Tracing


INPUTS = {
    "sgd": [
        *(small(optimizer=SGD(rate)) for rate in (0.001, 0.01, 0.1, 1.0)),
        *(small(optimizer=SGD(momentum=momentum)) for momentum in (0.3, 0.9, 1.0)),
        *(small(optimizer=SGD(weight_decay=decay)) for decay in (0.001, 0.1, 1.0)),
    ],
    "adam": [
        *(small(optimizer=Adam(rate)) for rate in (0.001, 0.1)),
        *(small(optimizer=Adam(beta_1=beta)) for beta in (0.0, 0.5)),
        *(small(optimizer=Adam(beta_2=beta)) for beta in (0.5, 0.99)),
        *(small(optimizer=Adam(epsilon=epsilon)) for epsilon in (1e-5, 0.1)),
        *(small(optimizer=Adam(weight_decay=decay)) for decay in (0.1, 1.0)),
    ],
    "rmsprop": [
        *(small(optimizer=RMSprop(rate)) for rate in (0.001, 0.1)),
        *(small(optimizer=RMSprop(rho=rho)) for rho in (0.0, 0.5)),
        *(small(optimizer=RMSprop(momentum=momentum)) for momentum in (0.5, 1.0)),
        *(small(optimizer=RMSprop(epsilon=epsilon)) for epsilon in (1e-5, 0.1)),
        *(small(optimizer=RMSprop(weight_decay=decay)) for decay in (0.1, 1.0)),
    ],
    "what no optimizer knows": [
        small(),
        small(seed=1),
        small(init=HeNormal()),
        *(small(replicates=Replicates(count)) for count in (1, 2, 4, 7)),
        small(replicates=Replicates(2, vary=(), first=9)),
        *(small(training=Training(epochs, batch_size=64, leg_epochs=3)) for epochs in (3, 8)),
    ],
}


@pytest.mark.parametrize(
    "specs",
    [pytest.param(specs, marks=[pytest.mark.long] * (name in ("adam", "sgd"))) for name, specs in INPUTS.items()],
    ids=INPUTS,
)
def test_ten_trials_that_differ_in_an_input_trace_their_program_once(specs, monkeypatch):
    monkeypatch.setattr(compile_cache, "used_folder", lambda: None)
    signatures = {CohortTraining(spec, dataset.load_replicates(spec), Clock()).signature for spec in specs}
    assert len(set(specs)) == 10 and len(signatures) == 1
    for spec in specs:
        study.train(spec)
    assert program(signatures.pop()).experimental_get_tracing_count() == 1


# Bits


NETWORKS = {
    "7, adam": small(model=Model((7,)), optimizer=Adam(0.01)),
    "128, rmsprop": small(data=DIGITS, model=Model((128,)), optimizer=RMSprop(0.01, momentum=0.5)),
    "9-7-5 tanh, sgd": small(model=Model((9, 7, 5), "tanh"), optimizer=SGD(0.05, momentum=0.9, weight_decay=0.1)),
    "512, a program each": small(data=DIGITS, model=Model((512,)), optimizer=Adam(0.01)),
    "64-33-16, nesterov": small(data=DIGITS, model=Model((64, 33, 16)), optimizer=SGD(0.05, momentum=0.9, nesterov=True)),
}
QUICK = ("7, adam", "512, a program each")
every_network = pytest.mark.parametrize(
    "spec",
    [pytest.param(spec, marks=[pytest.mark.long] * (name not in QUICK)) for name, spec in NETWORKS.items()],
    ids=NETWORKS,
)


@every_network
def test_a_replicate_has_the_same_bits_alone_as_among_32(spec):
    among = fingerprints(train(with_replicates(spec, count=32)))
    assert len(set(among)) == 32
    for number in (0, 1, 18, 31):
        assert fingerprints(train(with_replicates(spec, first=number, count=1))) == [among[number]]


@every_network
@pytest.mark.parametrize(("first", "count"), [(5, 6), (4, 7), (0, 31)], ids=["from an odd one", "odd count", "one less"])
def test_a_range_of_replicates_has_the_same_bits_as_among_32(spec, first, count):
    among = fingerprints(train(with_replicates(spec, count=32)))
    assert fingerprints(train(with_replicates(spec, first=first, count=count))) == among[first : first + count]


SHARED_SPLITS = [(1, 0, 3, WIDTH), (2, 0, 6, 2), (2, 1, 5, 3), (3, 2, 5, 2)]


@pytest.mark.parametrize(("per_split", "first", "count", "datasets"), SHARED_SPLITS)
def test_replicates_on_a_split_share_its_rows_and_train_as_each_does_alone(per_split, first, count, datasets):
    spec = small(replicates=Replicates(count, vary=("init", "order", "data"), per_split=per_split, first=first))
    training = CohortTraining(spec, dataset.load_replicates(spec), Clock())
    assert training.signature.datasets == datasets
    assert {len(part._data[0]) for part in training._parts} == {datasets * training.signature.rows}
    alone = [fingerprints(train(with_replicates(spec, first=number, count=1)))[0] for number in spec.replicates.numbers]
    assert fingerprints(train(spec)) == alone and len(set(alone)) == count


def test_a_program_trains_large_networks_alone_and_their_rows_are_in_memory_once():
    large = NETWORKS["512, a program each"]
    for spec, width in ((large, 1), (with_training(large, batch_size=32), WIDTH), (NETWORKS["7, adam"], WIDTH)):
        assert signature_of(spec, dataset.load_data(spec)).width == width
    spec = dataclasses.replace(large, replicates=Replicates(6, vary=("init", "order", "data"), per_split=2))
    training = CohortTraining(spec, dataset.load_replicates(spec), Clock())
    held = [part._data for part in training._parts]
    assert [data is held[0] for data in held[:3]] == [True, True, False] and len({id(data) for data in held}) == 3
    alone = [fingerprints(train(with_replicates(spec, first=number, count=1)))[0] for number in spec.replicates.numbers]
    assert fingerprints(train(spec)) == alone and len(set(alone)) == 6
    assert train(spec).width == 1


@every_network
def test_training_again_gives_the_same_bits(spec):
    once, again = study.train(spec), study.train(spec)
    assert fingerprints(once) == fingerprints(again)
    assert bits(once.train_loss, once.val_loss, once.predictions) == bits(again.train_loss, again.val_loss, again.predictions)


@pytest.mark.parametrize("name", ["7, adam", pytest.param("9-7-5 tanh, sgd", marks=pytest.mark.long)])
@pytest.mark.parametrize("leg_epochs", [7, *(pytest.param(length, marks=pytest.mark.long) for length in (1, 20))])
def test_the_length_of_a_leg_never_changes_a_bit(name, leg_epochs):
    spec = with_training(NETWORKS[name], epochs=50)
    whole, cut = train(with_training(spec, leg_epochs=50)), train(with_training(spec, leg_epochs=leg_epochs))
    assert fingerprints(cut) == fingerprints(whole)
    assert bits(cut.train_loss, cut.val_loss, cut.predictions) == bits(whole.train_loss, whole.val_loss, whole.predictions)


@pytest.mark.parametrize("epochs", [pytest.param(1, marks=pytest.mark.long), 4, pytest.param(6, marks=pytest.mark.long)])
def test_a_shorter_training_is_the_start_of_a_longer_one(epochs):
    spec = NETWORKS["7, adam"]
    short, long = train(with_training(spec, epochs=epochs)), train(spec)
    assert bits(short.train_loss, short.val_loss) == bits(long.train_loss[:, :epochs], long.val_loss[:, :epochs])


# Other processes


# all of one program: they differ in its inputs, and in a short last leg
ELSEWHERE = [
    small(optimizer=SGD(0.1, momentum=0.5)),
    small(optimizer=SGD(0.02)),
    with_training(small(optimizer=SGD(0.1)), epochs=5),
]
SCRIPT = """
import json, sys, study
from study.engine import compile_cache, stored_programs
from study.engine.program import program
from study.settings.spec import build
cohorts = [study.train(build(settings)) for settings in json.load(sys.stdin)]
prints = [[study.fingerprint(cohort, replicate) for replicate in range(len(cohort))] for cohort in cohorts]
print(json.dumps([prints, program.cache_info().misses]))
"""


def trained_elsewhere(cache_home, specs):
    """Return fingerprints, and the number of programs traced, of a process whose cache of programs is under `cache_home`."""
    # the switch that this process has set for its own cache would hold in the other one too
    environment = {name: value for name, value in os.environ.items() if name != "TF_XLA_FLAGS"}
    environment["XDG_CACHE_HOME"] = str(cache_home)
    told = json.dumps([as_mapping(spec) for spec in specs])
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, input=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def programs(cache_home, kind="*"):
    return [path for path in (cache_home / "mlp-study").rglob(kind) if path.is_file()]


@pytest.fixture(scope="module")
def cold(tmp_path_factory):
    """A cache that one process has filled, and that process' fingerprints."""
    cache_home = tmp_path_factory.mktemp("cache")
    found, traced = trained_elsewhere(cache_home, ELSEWHERE)
    assert traced == 1
    return cache_home, found


def test_another_process_gets_the_same_bits_and_compiles_one_program_once(cold):
    cache_home, found = cold
    assert found == [fingerprints(train(spec)) for spec in ELSEWHERE]
    assert len(programs(cache_home, "*.pb")) == len(programs(cache_home, "*.traced")) == 1


def test_a_program_from_the_cache_gives_the_same_bits_without_tracing(cold, tmp_path):
    cache_home, found = cold
    shutil.copytree(cache_home, tmp_path, dirs_exist_ok=True)
    kept = [path.name for path in programs(tmp_path)]
    assert trained_elsewhere(tmp_path, ELSEWHERE) == [found, 0]
    # as no file was added, the program was found
    assert [path.name for path in programs(tmp_path)] == kept


KINDS_OF_PROGRAMS = [
    small(model=Model((8,), dropout=0.2)),
    small(model=Model((8, 6), normalisation="batch")),
    small(model=Model((8, 6), normalisation="layer", l2=0.01)),
    small(schedule=ReduceOnPlateau()),
    small(training=Training(7, batch_size=64, leg_epochs=3, patience=2)),
    small(training=Training(7, batch_size=64, leg_epochs=3, motion=False), optimizer=Adam(0.01, ema=0.9)),
    small(replicates=Replicates(6, vary=("init", "order", "data"))),
    small(data=DIGITS, training=Training(2, batch_size=100)),
]


@pytest.mark.long
def test_another_study_in_another_order_finds_every_kind_of_program(tmp_path):
    found, traced = trained_elsewhere(tmp_path, KINDS_OF_PROGRAMS)
    assert traced == len(KINDS_OF_PROGRAMS)
    kept = {path.name for path in programs(tmp_path)}
    assert trained_elsewhere(tmp_path, [small(), *reversed(KINDS_OF_PROGRAMS)]) == [[*found_of_small(), *reversed(found)], 1]
    assert len({path.name for path in programs(tmp_path)} - kept) == 2
    # TensorFlow's own names and numbers, in this process, lead to the same bits
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compile_cache, "used_folder", lambda: None)
        assert [fingerprints(study.train(spec)) for spec in KINDS_OF_PROGRAMS] == found


def found_of_small():
    return [fingerprints(train(small()))]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["*.pb", "*.traced"])
def test_a_torn_file_in_the_cache_is_mended_in_passing(cold, tmp_path, kind):
    cache_home, found = cold
    shutil.copytree(cache_home, tmp_path, dirs_exist_ok=True)
    [torn] = programs(tmp_path, kind)
    half = torn.stat().st_size // 2
    os.truncate(torn, half)
    assert trained_elsewhere(tmp_path, ELSEWHERE) == [found, 1]
    assert all(path.stat().st_size > half for path in programs(tmp_path, kind))


def test_programs_are_traced_where_tensorflow_has_changed(monkeypatch):
    from tensorflow.python.eager import context

    expected = fingerprints(train(small(model=Model((5,)))))
    monkeypatch.delattr(context.Context, "add_function_def")
    stored_programs._added.cache_clear()
    program.cache_clear()
    assert fingerprints(study.train(small(model=Model((5,))))) == expected
    assert program.cache_info().misses == 1


def test_too_many_programs_lose_those_longest_unused(tmp_path, monkeypatch):
    folder = tmp_path / "mlp-study" / "xla" / "0"
    folder.mkdir(parents=True)
    monkeypatch.setenv("TF_XLA_FLAGS", f"{compile_cache.FLAG}{folder}")
    monkeypatch.setattr(compile_cache, "MOST_FILES", 4)
    for number in range(5):
        (folder / f"{number}.pb").touch()
        os.utime(folder / f"{number}.pb", (100 - number, 0))
    compile_cache.shorten()
    assert sorted(path.name for path in folder.iterdir()) == ["0.pb", "1.pb"]
    compile_cache.shorten()
    assert len(list(folder.iterdir())) == 2


# Sources of variation


@pytest.mark.parametrize("vary", [(), ("init",), ("order",), ("init", "order")], ids=["none", "init", "order", "both"])
def test_exactly_the_named_sources_differ_between_replicates(vary):
    spec = small(replicates=Replicates(3, vary=vary))
    trained, orders = train(spec), study.batch_orders(spec)
    for kernels in trained.initial_kernels:
        assert len({kernel.tobytes() for kernel in kernels}) == (3 if "init" in vary else 1)
    assert len({order.tobytes() for order in orders}) == (3 if "order" in vary else 1)
    assert len(set(trained.seeds["init"])) == (3 if "init" in vary else 1)
    assert len(set(trained.seeds["order"])) == (3 if "order" in vary else 1)
    assert len(set(fingerprints(trained))) == (3 if vary else 1)
    assert len({curve.tobytes() for curve in trained.train_loss}) == (3 if vary else 1)


def test_a_shared_source_is_that_of_replicate_0_wherever_the_range_starts():
    first, shared = small(replicates=Replicates(1)), small(replicates=Replicates(2, vary=(), first=5))
    assert fingerprints(train(shared)) == 2 * fingerprints(train(first))


def test_trials_of_one_study_share_their_replicates_seeds():
    slow, fast = train(small(optimizer=SGD(0.01))), train(small(optimizer=Adam(0.01)))
    assert slow.seeds == fast.seeds
    assert bits(*slow.initial_kernels) == bits(*fast.initial_kernels)
    assert train(small(seed=1)).seeds != slow.seeds


# Outcomes


class Recording:
    run_id = "recorded"

    def __init__(self):
        self.legs, self.cohorts, self.closed = [], [], []

    def leg(self, leg):
        self.legs.append(leg)

    def cohort(self, *told):
        self.cohorts.append(told)

    def close(self, result):
        self.closed.append(result)


def run(spec, recorder, **callbacks):
    return trial.run_trial(spec, dataset.load_replicates(spec), recorder, Clock(), **callbacks)


@pytest.mark.parametrize(
    ("data", "optimizer"),
    [
        (DIABETES, SGD(1e30)),
        pytest.param(DIABETES, RMSprop(1e30), marks=pytest.mark.long),
        (DIGITS, SGD(1e30)),
        pytest.param(DIGITS, Adam(1e30), marks=pytest.mark.long),
    ],
    ids=["diabetes sgd", "diabetes rmsprop", "digits sgd", "digits adam"],
)
def test_networks_that_diverge_are_labelled_so(data, optimizer):
    spec = small(data=data, optimizer=optimizer)
    legs = list(CohortTraining(spec, dataset.load_replicates(spec), Clock()).legs())
    assert not any(leg.finite.any() for leg in legs)
    assert train(spec).labels == ("diverged",) * 3


def test_networks_that_train_are_finite_in_every_leg():
    spec = small()
    legs = list(CohortTraining(spec, dataset.load_replicates(spec), Clock()).legs())
    assert all(leg.finite.all() for leg in legs)


# the second of three networks has no finite loss from the second epoch on
DIVERGES_LATER = small(optimizer=SGD(0.23))


def test_a_network_that_diverges_leaves_its_neighbours_alone():
    trained = train(DIVERGES_LATER)
    diverged = [not np.isfinite(curve).all() for curve in trained.train_loss]
    assert diverged == [False, True, False]
    assert trained.labels[1] == "diverged" and trained.labels.count("diverged") == 1
    for number in (0, 2):
        alone = train(with_replicates(DIVERGES_LATER, first=number, count=1))
        assert fingerprints(alone) == [study.fingerprint(trained, number)]


@pytest.mark.parametrize(
    ("spec", "legs", "reason"),
    [
        (small(optimizer=SGD(1e30)), 1, "diverged: 3 of 3 replicates, replicate 0 not finite in epoch 1"),
        (DIVERGES_LATER, 1, "diverged: 1 of 3 replicates, replicate 1 not finite in epoch 2"),
        (with_training(DIVERGES_LATER, leg_epochs=1), 2, "diverged: 1 of 3 replicates, replicate 1 not finite in epoch 2"),
    ],
    ids=["all at once", "one in the middle of a leg", "one in the second leg"],
)
def test_a_trial_that_diverges_fails_and_says_which_replicate_and_epoch(spec, legs, reason):
    recorder = Recording()
    result = run(spec, recorder)
    assert result.outcome == Failed(reason)
    assert len(recorder.legs) == legs
    assert recorder.closed == [result.outcome] and not recorder.cohorts
    assert math.isnan(float(result))


@pytest.mark.parametrize("leg_epochs", [2, 7])
def test_a_validation_loss_that_is_not_finite_counts_in_its_own_epoch(leg_epochs):
    spec = with_training(small(optimizer=SGD(0.3)), leg_epochs=leg_epochs)
    trained = train(spec)
    assert np.isfinite(trained.train_loss[1, 0]) and not np.isfinite(trained.val_loss[1, 0])
    assert run(spec, Recording()).outcome == Failed("diverged: 1 of 3 replicates, replicate 1 not finite in epoch 1")


def test_a_trial_that_is_pruned_stops_after_that_leg():
    recorder = Recording()
    result = run(small(), recorder, prune=lambda leg: leg.epochs_done >= 6)
    assert [leg.epochs_done for leg in recorder.legs] == [3, 6]
    assert result.outcome == Pruned(6, float(recorder.legs[-1].val_loss[-1].mean()))
    assert recorder.closed == [result.outcome] and not recorder.cohorts


def test_a_trial_that_completes_records_its_legs_then_its_cohort():
    spec, recorder, told = small(), Recording(), []
    result = run(spec, recorder, progress=lambda leg: told.append(leg.epochs_done))
    assert told == [leg.epochs_done for leg in recorder.legs] == [3, 6, 7]
    [(trained, summary, marks, targets, environment, comparison, searchable, onward, picture, errors)] = recorder.cohorts
    assert comparison["aligned"].shape == (3, 3) and summary.verdict and len(set(searchable)) == 3 and onward is None
    assert picture.startswith("<svg") and errors
    assert marks == fingerprints(trained) == fingerprints(train(spec))
    assert summary.val_losses == [float(loss) for loss in trained.val_loss[:, -1]]
    assert summary.finite_test is not None and summary.finite_test > 0
    for ends, curve in zip(summary.improvements, trained.train_loss, strict=True):
        trivial = forward.trivial_loss(spec.loss, study.load_data(spec).y_train)
        assert ends == list(convergence.projected_improvement(curve, trivial)) and ends[0] < ends[1]
    assert summary.val_loss_mean == float(result) == pytest.approx(np.mean(summary.val_losses))
    assert bits(*targets) == 3 * bits(study.load_data(spec).y_val)
    assert environment["width"] == str(WIDTH)
    assert recorder.closed == [result.outcome] == [Completed(summary)]
    assert result.run_id == "recorded"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("place", ["prune", "progress", "legs"])
def test_an_exception_closes_the_record_without_an_outcome(error, place, monkeypatch):
    def fail(*_):
        raise error

    recorder = Recording()
    if place == "legs":
        monkeypatch.setattr(CohortTraining, "legs", fail)
    with pytest.raises(error):
        run(small(), recorder, **({} if place == "legs" else {place: fail}))
    assert recorder.closed == [None]


# Batch orders


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 100), batch_size=st.integers(1, 100), epochs=st.integers(1, 4))
@settings(deadline=None)
def test_an_epoch_takes_every_row_once_but_for_a_partial_batch(seed, rows, batch_size, epochs):
    batch_size = min(batch_size, rows)
    steps = batches.steps_per_epoch(rows, batch_size)
    orders = batches.draw(seeds.generator(seed), epochs, rows, batch_size, steps)
    assert orders.dtype == np.int32 and orders.shape == (epochs, steps, batch_size)
    for order in orders.reshape(epochs, -1):
        assert len(set(order)) == steps * batch_size and set(order) <= set(range(rows))
    kept = batches.draw(seeds.generator(seed), epochs, rows, batch_size, batches.steps_per_epoch(rows, batch_size, "keep"))
    for order, whole in zip(kept.reshape(epochs, -1), orders.reshape(epochs, -1), strict=True):
        assert bits(order[: len(whole)]) == bits(whole)
        assert sorted(order[order >= 0]) == list(range(rows)) and set(order[rows:]) <= {-1} and len(order) - rows < batch_size


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 100), first=st.integers(1, 4), then=st.integers(1, 4))
@settings(deadline=None)
def test_a_stream_of_orders_goes_on_where_it_stopped(seed, rows, first, then):
    stream = seeds.generator(seed)
    pieces = [batches.draw(stream, epochs, rows, 1, rows) for epochs in (first, then)]
    assert bits(np.concatenate(pieces)) == bits(batches.draw(seeds.generator(seed), first + then, rows, 1, rows))


@pytest.mark.parametrize("data", [DIABETES, pytest.param(DIGITS, marks=pytest.mark.long)], ids=["diabetes", "digits"])
def test_orders_depend_neither_on_the_number_of_replicates_nor_of_epochs(data):
    spec = small(data=data)
    orders, rows = study.batch_orders(spec), len(study.load_data(spec).x_train)
    assert orders.dtype == np.int32 and orders.shape == (3, 7, rows // 64, 64)
    assert bits(study.batch_orders(with_replicates(spec, count=9))[:3]) == bits(orders)
    assert bits(study.batch_orders(with_replicates(spec, first=1, count=2))) == bits(orders[1:])
    assert bits(study.batch_orders(with_training(spec, epochs=3))) == bits(orders[:, :3])
    assert bits(study.batch_orders(with_training(spec, leg_epochs=1))) == bits(orders)


@pytest.mark.parametrize("replicates", [3, 11], ids=["one part", "three parts"])
def test_who_stops_asking_gets_the_weights_of_the_last_leg_that_they_saw(replicates):
    spec = small(training=Training(12, batch_size=64, leg_epochs=3), replicates=Replicates(replicates))
    data = dataset.load_replicates(spec)
    training = CohortTraining(spec, data, Clock())
    seen = list(itertools.islice(training.legs(), 2))
    shorter = CohortTraining(with_training(spec, epochs=6), data, Clock())
    assert [bits(leg.train_loss) for leg in seen] == [bits(leg.train_loss) for leg in shorter.legs()]
    found, expected = training.weights(), shorter.weights()
    assert bits(*found.network.parameters.values()) == bits(*expected.network.parameters.values())
    assert bits(found.predictions) == bits(expected.predictions) and found.trained.tolist() == [6] * replicates


def test_a_crossed_design_trains_every_combination_of_the_sources_levels():
    spec = small(replicates=Replicates(vary=("init", "order", "ulp"), crossed=(2, 3, 2)))
    assert spec.replicates.count == 12
    trained, orders = train(spec), study.batch_orders(spec)
    starts = trained.initial_kernels[0]
    for number, (init, order, ulp) in enumerate(itertools.product(range(2), range(3), range(2))):
        assert [spec.replicates.level(source, number) for source in ("init", "order", "ulp", "data")] == [init, order, ulp, 0]
        assert bits(orders[number]) == bits(orders[2 * order])
        moved = sum(int((a[number] != a[6 * init]).sum()) for a in trained.initial_kernels)
        assert moved == ulp and (init == 0 or not np.array_equal(starts[number], starts[0]))
    # its first cells are the replicates of an ordinary cohort
    alone = train(with_replicates(small(), count=1))
    assert fingerprints(alone)[0] == fingerprints(trained)[0]


# Shapes


@pytest.mark.parametrize("data", [DIABETES, pytest.param(DIGITS, marks=pytest.mark.long)], ids=["diabetes", "digits"])
def test_a_cohort_holds_what_its_record_says(data):
    spec = small(data=data, model=Model((8, 5), "tanh"))
    loaded, trained = study.load_data(spec), train(spec)
    inputs, outputs, n_val = loaded.x_train.shape[1], loaded.outputs, len(loaded.x_val)
    assert (inputs, outputs) == {"diabetes": (10, 1), "digits": (64, 10)}[data.name]
    kernels, biases = [(3, inputs, 8), (3, 8, 5), (3, 5, outputs)], [(3, 8), (3, 5), (3, outputs)]
    for arrays, shapes in [
        (trained.initial_kernels, kernels),
        (trained.kernels, kernels),
        (trained.initial_biases, biases),
        (trained.biases, biases),
        ((trained.train_loss, trained.val_loss), [(3, 7), (3, 7)]),
        ((trained.learning_rate,), [(3, 7)]),
        ((trained.predictions,), [(3, n_val, outputs)]),
    ]:
        assert isinstance(arrays, tuple)
        assert [array.shape for array in arrays] == shapes
        assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert trained.spec == spec and trained.width == WIDTH
    assert set(trained.learning_rate.ravel()) == {np.float32(spec.optimizer.learning_rate)}
    assert len(trained) == len(trained.labels) == len(trained.networks()) == 3
    assert set(trained.labels) <= set(convergence.LABELS)
    assert trained.seeds == batches.replicate_seeds(spec)
    assert {source: len(numbers) for source, numbers in trained.seeds.items()} == dict.fromkeys(seeds.SOURCES, 3)


@pytest.mark.parametrize("data", [DIABETES, pytest.param(DIGITS, marks=pytest.mark.long)], ids=["diabetes", "digits"])
def test_a_leg_holds_what_its_record_says(data):
    spec = small(data=data)
    legs = list(CohortTraining(spec, dataset.load_replicates(spec), Clock()).legs())
    assert [leg.epochs_done for leg in legs] == [3, 6, 7]
    for leg, epochs in zip(legs, (3, 3, 1), strict=True):
        assert leg.train_loss.shape == leg.val_loss.shape == (epochs, 3)
        assert leg.learning_rate.shape == (epochs, 3) and leg.finite.shape == (3,)
        assert leg.train_loss.dtype == leg.val_loss.dtype == leg.learning_rate.dtype == np.float32
        assert leg.finite.dtype == np.bool_ and bits(leg.current) == bits(leg.val_loss[-1])


@pytest.mark.parametrize("data", [DIABETES, pytest.param(DIGITS, marks=pytest.mark.long)], ids=["diabetes", "digits"])
def test_last_loss_and_predictions_are_those_of_the_final_weights(data):
    spec = small(data=data, model=Model((8, 5), "tanh"))
    dataset, trained = study.load_data(spec), train(spec)
    outputs = forward.layer_outputs(trained.network, dataset.x_val, trained.spec.model)[-1]
    np.testing.assert_allclose(trained.predictions, outputs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(trained.val_loss[:, -1], forward.losses(outputs, dataset.y_val), rtol=1e-4)
