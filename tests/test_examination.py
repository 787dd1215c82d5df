"""What a trial's networks are to one another, and who is to blame for what differs: as the ordinary trial finds it out."""

from __future__ import annotations

import dataclasses
import json
from functools import cache

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

import study
from study.analysis import alignment, blame, distance, fingerprints, forward, pairwise, summaries, verdict
from study.analysis.convergence import PLATEAUED
from study.clock import Clock
from study.data import dataset
from study.records.network import Network, parameter_shapes
from study.records.outcome import Blame, Summary
from study.runner import trial
from study.settings import loss
from study.tracking import artifacts, spool

TINY = ("training.epochs=3", "model.units=[6,4]", "optimizer.learning_rate=0.05", "replicates.count=3")
PAIRS = ("barriers", "aligned_barriers", "cka", "disagreement", "raw_paths", "aligned_paths")


@cache
def trained(*overrides):
    """A trained cohort and its replicates' data."""
    spec = study.compose([*TINY, *overrides])
    return study.train(spec), dataset.load_replicates(spec)


def drawn(*overrides):
    """The cohort with random networks of other settings instead, and the data of these settings."""
    spec, rng = study.compose([*TINY, *overrides]), np.random.default_rng(0)
    data = dataset.load_data(spec)
    sizes = (data.x_train.shape[1], *spec.model.units, loss.outputs(spec.loss, data.outputs))
    shapes = parameter_shapes(sizes, spec.model.normalisation)
    # variances are positive
    found = {
        name: np.exp(rng.normal(0, 1, (3, *shape))) if name[0] == "v" else rng.normal(0, 1, (3, *shape))
        for name, shape in shapes.items()
    }
    networks = Network({name: array.astype(np.float32) for name, array in found.items()})
    predictions = forward.layer_outputs(networks, data.x_val, spec.model)[-1]
    return dataclasses.replace(trained()[0], spec=spec, network=networks, predictions=predictions), [data] * 3


def settled(cohort, **changes):
    """The cohort as if all its replicates had plateaued at one loss."""
    losses = np.ones_like(cohort.val_loss)
    return dataclasses.replace(cohort, **({"labels": (PLATEAUED,) * len(cohort), "val_loss": losses} | changes))


def of_one(cohort, *others):
    """A settled cohort of its first network and other ones that compute the same, bit for bit."""
    first = cohort.networks()[0]
    nets = [first, *(other(first) for other in others)]
    return settled(cohort, network=Network.stack(nets), predictions=np.stack([cohort.predictions[0]] * len(nets)))


def permuted(seed, factors=(1.0,)):
    """A copy with its hidden units in another order, each multiplied by one of the factors on one side and divided on the other."""

    def copy(net):
        found, rng = dict(net.parameters), np.random.default_rng(seed)
        for layer in range(net.depth - 1):
            after, units = f"kernel_{layer + 1}", len(net.biases[layer])
            order, factor = rng.permutation(units), rng.choice(np.float32(factors), units)
            for name in found:
                if name.endswith(f"_{layer}"):
                    found[name] = found[name][..., order]
            for name in (f"kernel_{layer}", f"bias_{layer}"):
                found[name] = found[name] * factor
            found[after] = found[after][order] / factor[:, None]
        return Network(found)

    return copy


def same(net):
    return net


def diverged(cohort, replicate):
    """The settled cohort, of which one replicate's numbers are no numbers."""
    found = {name: array.copy() for name, array in cohort.network.parameters.items()}
    predictions, losses = cohort.predictions.copy(), np.ones_like(cohort.val_loss)
    for array in (*found.values(), predictions, losses):
        array[replicate] = np.nan
    labels = tuple("diverged" if place == replicate else PLATEAUED for place in range(len(cohort)))
    return settled(cohort, network=Network(found), predictions=predictions, val_loss=losses, labels=labels)


# Pairs of replicates


SYMMETRIES = {
    "relu": ([], (0.25, 1.0, 8.0)),
    "tanh": (["model.activation=tanh"], (-1.0, 1.0)),
    "gelu": (["model.activation=gelu"], (1.0,)),
    "batch": (["model.normalisation=batch"], (1.0,)),
    "layer": (["model.normalisation=layer"], (1.0,)),
}


@pytest.mark.parametrize("name", SYMMETRIES)
def test_a_network_in_another_order_and_at_another_scale_is_the_same_up_to_symmetry(name):
    overrides, factors = SYMMETRIES[name]
    cohort, datasets = drawn(*overrides) if overrides else trained()
    copies = of_one(cohort, permuted(1, factors), permuted(2, factors))
    found = pairwise.examine(copies, datasets)
    assert found.verdict.name == verdict.SAME_SYMMETRY
    apart = np.triu_indices(3, k=1)
    assert found.relative_l2[apart].min() > 0.1 > 1e-5 > found.aligned.max()
    assert alignment.centre(copies.networks(), copies.spec.model.activation).distances.max() < 1e-5 < found.null
    # a trial's own record doesn't need it
    assert found.centre is None and "centre" not in found.arrays()
    assert found.aligned_barriers.max() < 1e-5
    if set(factors) <= {-1, 1}:  # CKA sees a unit's scale
        np.testing.assert_allclose(found.cka, 1, atol=1e-5)


def test_equal_networks_have_the_same_weights():
    cohort, datasets = trained()
    found = pairwise.examine(of_one(cohort, same, same), datasets)
    assert str(found.verdict) == verdict.SAME_WEIGHTS
    for matrix in (found.relative_l2, found.aligned, found.disagreement):
        np.testing.assert_array_equal(matrix, np.zeros((3, 3)))
    assert found.barriers.tolist() == found.aligned_barriers.tolist() == [0, 0]


def test_networks_that_have_not_settled_did_not_converge():
    cohort, datasets = trained()
    found = pairwise.examine(dataclasses.replace(cohort, labels=(PLATEAUED, "stuck", PLATEAUED)), datasets)
    assert found.verdict.name == verdict.NOT_CONVERGED and "stuck (1)" in found.verdict.reasons[0]


def halfway(first, second):
    """Both networks, and the one in the middle of the line between them."""
    middle = {name: (array + second.parameters[name]) / 2 for name, array in first.parameters.items()}
    return Network.stack([first, Network(middle), second])


@pytest.mark.parametrize("data", ["diabetes", "breast_cancer", "iris"])
def test_a_barrier_is_in_trivial_losses_or_in_error_rate(data):
    cohort, datasets = trained() if data == "diabetes" else drawn(f"data={data}")
    held, model, nets = datasets[0], cohort.spec.model, cohort.networks()
    found = pairwise.examine(cohort, datasets)
    assert found.pairs == ((0, 1), (1, 2)) and found.barriers.max() > 0
    for place, (first, second) in enumerate(found.pairs):
        stacked = halfway(nets[first], nets[second])
        if data == "diabetes":
            outputs = forward.layer_outputs(stacked, held.x_train, model)[-1]
            values = np.square(outputs - held.y_train).mean(axis=(1, 2)) / held.y_train.var()
            path = found.raw_paths.loss.values[place] / held.y_train.var()
        else:
            outputs = forward.layer_outputs(stacked, held.x_val, model)[-1]
            values = np.mean(forward.predicted_classes(outputs) != held.y_val, axis=1)
            path = found.raw_paths.error.values[place]
        np.testing.assert_allclose(path[[-1, 12, 0]], values, rtol=1e-4)
        chord = np.linspace(path[0], path[-1], len(path))
        assert found.barriers[place] == pytest.approx((path - chord).max(), rel=1e-5, abs=1e-9)


def test_networks_with_data_of_their_own_are_compared_by_their_weights_alone():
    cohort, datasets = trained("replicates.vary=[init,data]")
    found = pairwise.examine(settled(cohort), datasets)
    assert all(getattr(found, name) is None for name in PAIRS)
    assert found.arrays().keys() == {"places", "relative_l2", "aligned", "null", "pairs"}
    assert found.aligned[0, 1] > 0.3
    assert found.verdict.name == verdict.UNDECIDED and "rows of its own" in found.verdict.reasons[-1]
    summary = summaries.summarise(cohort, datasets, ["a", "b", "c"], found)
    assert (summary.barrier, summary.aligned_barrier, summary.cka, summary.disagreement) == (None,) * 4
    assert summary.aligned == pytest.approx(distance.mean_of_pairs(found.aligned))


def test_of_many_networks_some_are_compared_that_are_evenly_spread(monkeypatch):
    monkeypatch.setattr(pairwise, "MOST", 4)
    cohort, datasets = trained("replicates.count=7")
    found = pairwise.examine(cohort, datasets)
    assert found.places.tolist() == [0, 2, 4, 6]
    chosen = [cohort.networks()[place] for place in (0, 2, 4, 6)]
    np.testing.assert_array_equal(found.relative_l2, distance.relative_l2(distance.vectors(chosen)))
    for matrix in (found.aligned, found.disagreement, found.cka):
        assert matrix.shape == (4, 4)
    assert found.pairs == ((0, 1), (1, 2), (2, 3)) and len(found.barriers) == 3


def test_a_diverged_network_leaves_gaps_and_no_error():
    cohort, datasets = trained()
    broken = diverged(cohort, 1)
    found = pairwise.examine(broken, datasets)
    assert found.verdict.name == verdict.NOT_CONVERGED and "diverged (1)" in found.verdict.reasons[0]
    for matrix in (found.relative_l2, found.aligned, found.disagreement, found.cka):
        assert np.isnan(matrix[0, 1]) and np.isnan(matrix[2, 1]) and np.isfinite(matrix[0, 2])
    assert np.isnan(found.barriers).all()
    summary = summaries.summarise(broken, datasets, ["a", "b", "c"], found)
    pairs = {
        name: getattr(summary, name) for name in ("aligned", "null", "barrier", "aligned_barrier", "cka", "verdict", "reasons")
    }
    assert [name for name, value in pairs.items() if value is None] == ["aligned", "barrier", "aligned_barrier", "cka"]
    json.dumps(pairs, allow_nan=False)


def test_what_was_compared_is_kept_with_the_trials_files(tmp_path):
    cohort, datasets = trained()
    found = pairwise.examine(cohort, datasets)
    artifacts.write(tmp_path, cohort, [data.y_val for data in datasets], {}, found.arrays())
    artifacts.check(tmp_path)
    kept = artifacts.read_comparison(tmp_path)
    assert kept.keys() == found.arrays().keys()
    for name, array in found.arrays().items():
        np.testing.assert_array_equal(kept[name], array)
    assert kept["pairs"].tolist() == [[0, 1], [1, 2]] and kept["null"] == found.null
    np.testing.assert_array_equal(kept["aligned_loss"], found.aligned_paths.loss.values)
    curves = artifacts.read_curves(tmp_path)
    assert curves.pop("replicate").tolist() == [0, 1, 2]
    for name, curve in curves.items():
        np.testing.assert_array_equal(curve, getattr(cohort, name))


def test_a_lone_network_is_compared_with_nothing(tmp_path):
    cohort, datasets = trained("replicates.count=1")
    result = trial.run_trial(cohort.spec, datasets, spool.NoRecorder(), Clock())
    assert result.summary.verdict is None and result.summary.aligned is None and result.summary.reasons == []
    artifacts.write(tmp_path, cohort, [datasets[0].y_val], {})
    assert artifacts.read_comparison(tmp_path) == {}


# Who is to blame


@cache
def blamed(*overrides):
    """What an ordinary trial finds of a crossed cohort: quantity → Blame."""
    spec = study.compose([*TINY, *overrides])
    result = trial.run_trial(spec, dataset.load_replicates(spec), spool.NoRecorder(), Clock())
    return {found.of: found for found in result.summary.blame}


CROSSED = {
    "two": ["replicates.crossed=[3,3]"],
    "three": ["replicates.vary=[init,order,ulp]", "replicates.crossed=[2,2,3]"],
}


@pytest.mark.parametrize("name", CROSSED)
def test_the_shares_of_every_quantity_sum_to_one(name):
    found = blamed(*CROSSED[name])
    assert list(found) == [blame.LOSS, blame.PREDICTIONS, blame.WEIGHTS, blame.ALIGNED]
    for each in found.values():
        assert sum(share for share, _, _ in each.shares.values()) == pytest.approx(1)
        assert each.chaos[0] == pytest.approx(sum(share for of, (share, _, _) in each.shares.items() if "×" in of))
        assert all(0 <= low <= share <= high <= 1 for share, low, high in each.shares.values())
        assert 0 <= each.ulp < 1e-6 < each.total_sd  # three epochs at a small rate are no chaos


def test_three_sources_have_four_interactions():
    sources = ["init", "order", "ulp", "init × order", "init × ulp", "order × ulp", "init × order × ulp"]
    found = blamed(*CROSSED["three"])
    assert all(list(each.shares) == sources for each in found.values())
    assert found[blame.WEIGHTS].shares["ulp"][0] < 1e-6 < found[blame.WEIGHTS].shares["init"][0]


def test_where_a_batch_holds_all_rows_their_order_is_not_to_blame():
    for each in blamed("replicates.crossed=[3,3]", "training.batch_size=null").values():
        assert each.shares["init"][0] == pytest.approx(1, abs=1e-6)
        assert each.shares["order"][0] == pytest.approx(0, abs=1e-6) and each.chaos[0] == pytest.approx(0, abs=1e-6)


def test_predictions_on_other_rows_are_not_attributed():
    found = blamed("replicates.crossed=[2,2]", "replicates.vary=[init,data]")
    assert list(found) == [blame.LOSS, blame.WEIGHTS, blame.ALIGNED]
    assert list(found[blame.LOSS].shares) == ["init", "data", "init × data"]


def test_matching_too_many_networks_is_left_out(monkeypatch):
    monkeypatch.setattr(blame, "ALIGNING_SECONDS", 0)
    cohort, datasets = trained("replicates.crossed=[2,2]")
    found = blame.blame(cohort, datasets)
    assert [each.of for each in found] == [blame.LOSS, blame.PREDICTIONS, blame.WEIGHTS]
    assert [each.ulp for each in found] == [None] * 3


def test_what_one_ulp_does_is_not_known_where_a_network_diverges():
    cohort, datasets = trained("replicates.crossed=[2,2]")
    found = blame.blame(cohort, datasets, diverged(trained()[0], 1))
    assert [each.ulp for each in found] == [None] * 4


# Records


def test_a_summary_survives_json():
    shares = {"init": (0.25, 0.0, 0.5), "order": (0.5, 0.25, 1.0), "init × order": (0.25, 0.0, 0.5)}
    summary = Summary(
        [1.0, 2.0], 1.5, 0.7, None, 1.0, 1.4, None, 2, {PLATEAUED: 2}, {"r2": [0.5, 0.25]}, 1.0, 1.1, 0.5, 0.25, 0.75,
        "did not converge", ["a reason"], [Blame("weights", shares, (0.25, 0.0, 0.5), 2.0, None)],
    )  # fmt: skip
    assert Summary.of_plain(json.loads(json.dumps(dataclasses.asdict(summary)))) == summary
    cohort, datasets = trained()
    marks = [fingerprints.digest(net) for net in cohort.networks()]
    found = summaries.summarise(cohort, datasets, marks, pairwise.examine(cohort, datasets))
    assert Summary.of_plain(json.loads(json.dumps(dataclasses.asdict(found), allow_nan=False))) == found


def test_a_summary_from_before_networks_were_examined_can_be_read():
    old = Summary([1.0, 2.0], 1.5, 0.7, 6.4, 1.0, 1.4, 0.2, 2, {PLATEAUED: 2}, {"r2": [0.5, 0.25]})
    new = ("aligned", "null", "barrier", "aligned_barrier", "cka", "verdict", "reasons", "blame")
    kept = {name: value for name, value in dataclasses.asdict(old).items() if name not in new}
    assert Summary.of_plain(json.loads(json.dumps(kept))) == old


# The map


def test_points_in_a_plane_are_mapped_as_they_lie():
    matrix = squareform(pdist(np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0], [3.0, 4.0], [1.0, 7.0]])))
    places, share = distance.classical_map(matrix)
    np.testing.assert_allclose(squareform(pdist(places)), matrix, atol=1e-12)
    assert share == pytest.approx(1)


def test_a_plane_holds_two_thirds_of_a_tetrahedron():
    assert distance.classical_map(1 - np.eye(4))[1] == pytest.approx(2 / 3)


def test_a_map_has_a_place_for_every_network():
    gap = squareform(pdist(np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])))
    gap[0, 1] = gap[1, 0] = np.nan
    for matrix in (gap, np.full((3, 3), np.nan), np.zeros((3, 3)), np.array([[0.0, 1.0], [1.0, 0.0]]), np.zeros((1, 1))):
        places, share = distance.classical_map(matrix)
        assert places.shape == (len(matrix), 2) and np.isfinite(places).all() and 0 <= share <= 1 + 1e-12
