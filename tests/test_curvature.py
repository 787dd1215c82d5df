"""Gradient and curvature where a network stands, against differences of the losses that NumPy computes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import study
from study.analysis import forward
from study.engine import curvature
from study.engine.curvature import Stationarity, extreme_eigenvalues, stationarity
from study.records.dataset import Dataset
from study.records.network import Network, parameter_shapes
from study.settings.data import BreastCancer, Diabetes, Digits
from study.settings.loss import BinaryCrossentropy, CategoricalCrossentropy, Huber, LogCosh, SparseCategoricalCrossentropy
from study.settings.model import Model
from study.settings.spec import TrialSpec
from study.settings.training import Replicates, Training

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(40, 3)).astype(np.float32)
REAL, CLASSES = DRAW.normal(size=(40, 2)).astype(np.float32), DRAW.integers(0, 3, 40).astype(np.int32)


def data(x: Any, y: Any, outputs: int) -> Dataset:
    return Dataset(x, y, x, y, outputs)


def drawn(sizes: tuple[int, ...], normalisation: str | None = None, seed: int = 0) -> Network:
    draw = np.random.default_rng(seed)
    shapes = parameter_shapes(sizes, normalisation)
    return Network({name: draw.normal(0.3, 0.7, size=shape).astype(np.float32) for name, shape in shapes.items()})


def by_differences(spec: TrialSpec, net: Network, seen: Dataset, step: float = 1e-4) -> tuple[Any, Any]:
    """Gradient [P] and Hessian [P, P] of the objective."""
    names = list(net.trainable)
    sizes = [net.parameters[name].size for name in names]
    at = np.concatenate([net.parameters[name].ravel() for name in names]).astype(np.float64)
    x = seen.x_train.astype(np.float64)

    def losses(points: Any) -> Any:
        pieces = np.split(points, np.cumsum(sizes)[:-1], axis=1)
        shapes = [(len(points), *net.parameters[name].shape) for name in names]
        stack = {name: piece.reshape(shape) for name, piece, shape in zip(names, pieces, shapes, strict=True)}
        fixed = {name: np.stack([a] * len(points)) for name, a in net.parameters.items() if name not in stack}
        many = Network({**stack, **fixed})
        found = forward.losses(forward.layer_outputs(many, x, spec.model, training=True)[-1], seen.y_train, spec.loss)
        for kernel in many.kernels:
            found = found + spec.model.l1 * np.abs(kernel).sum(axis=(1, 2)) + spec.model.l2 * np.square(kernel).sum(axis=(1, 2))
        return found

    units = step * np.eye(len(at))
    gradient = (losses(at + units) - losses(at - units)) / (2 * step)
    rows = []
    for unit in units:
        corners = [losses(at + a * unit + b * units) for a in (1, -1) for b in (1, -1)]
        rows.append((corners[0] - corners[1] - corners[2] + corners[3]) / (4 * step**2))
    return gradient, np.array(rows)


CASES = {
    "tanh": (TrialSpec(model=Model((4,), "tanh")), REAL, 2, None),
    "two layers, gelu": (TrialSpec(model=Model((4, 3), "gelu")), REAL, 2, None),
    "silu, l2": (TrialSpec(model=Model((4,), "silu", l2=0.1)), REAL, 2, None),
    "softplus, l1": (TrialSpec(model=Model((4,), "softplus", l1=0.1)), REAL, 2, None),
    "huber": (TrialSpec(model=Model((4,), "sigmoid"), loss=Huber(0.5)), REAL, 2, None),
    "log_cosh": (TrialSpec(model=Model((4,), "tanh"), loss=LogCosh()), REAL, 2, None),
    "batch": (TrialSpec(model=Model((4,), "tanh", normalisation="batch", norm_epsilon=0.1)), REAL, 2, "batch"),
    "layer": (TrialSpec(model=Model((4,), "tanh", normalisation="layer", norm_epsilon=0.1)), REAL, 2, "layer"),
    "relu": (TrialSpec(model=Model((5,), "relu")), REAL, 2, None),
    "sparse": (TrialSpec(data=Digits(), model=Model((4,), "tanh"), loss=SparseCategoricalCrossentropy(0.1)), CLASSES, 3, None),
    "one-hot": (TrialSpec(data=Digits(), model=Model((4,), "tanh"), loss=CategoricalCrossentropy()), CLASSES, 3, None),
    "binary": (TrialSpec(data=BreastCancer(), model=Model((4,), "tanh"), loss=BinaryCrossentropy()), CLASSES % 2, 2, None),
    "more than are dense": (TrialSpec(model=Model((8, 5), "tanh")), REAL, 2, None),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient_and_curvature_are_those_of_differences(name: str) -> None:
    spec, y, outputs, normalisation = CASES[name]
    net = drawn((3, *spec.model.units, 1 if spec.loss.name == "binary_crossentropy" else outputs), normalisation)
    seen = data(X, y, outputs)
    found = stationarity(spec, net, seen)
    gradient, hessian = by_differences(spec, net, seen)
    values = np.linalg.eigvalsh((hessian + hessian.T) / 2)
    size = abs(values).max()
    assert found.gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
    assert (found.smallest, found.largest) == pytest.approx((values[0], values[-1]), abs=1e-4 * size)
    assert found.trivial == forward.trivial_loss(spec.loss, y, outputs)


def test_a_linear_models_hessian_is_known() -> None:
    """Of mean squared error, 2 XᵀX / n with a column of ones for the bias."""
    spec, seen = TrialSpec(model=Model(l2=0.25)), data(X, REAL[:, :1], 1)
    wide = np.concatenate([X, np.ones((40, 1))], axis=1).astype(np.float64)
    net = Network.of_layers([np.ones((3, 1), np.float32)], [np.zeros(1, np.float32)])
    penalty = np.diag([0.5, 0.5, 0.5, 0])
    values = np.linalg.eigvalsh(2 * wide.T @ wide / 40 + penalty)
    found = stationarity(spec, net, seen)
    assert (found.smallest, found.largest) == pytest.approx((values[0], values[-1]), rel=1e-9)
    gradient = 2 * wide.T @ (wide @ [1, 1, 1, 0] - seen.y_train[:, 0].astype(np.float64)) / 40 + [0.5, 0.5, 0.5, 0]
    assert found.gradient_norm == pytest.approx(np.linalg.norm(gradient))


def least_squares(x: Any, y: Any) -> Network:
    wide = np.concatenate([x, np.ones((len(x), 1))], axis=1).astype(np.float64)
    solved = np.linalg.lstsq(wide, y.astype(np.float64))[0].astype(np.float32)
    return Network.of_layers([solved[:-1]], [solved[-1]])


def test_a_linear_regression_is_stationary_at_its_solution_and_nowhere_else() -> None:
    spec, seen, solved = TrialSpec(), data(X, REAL, 2), least_squares(X, REAL)
    found = stationarity(spec, solved, seen)
    assert found.is_stationary and not found.is_saddle
    assert found.gradient_term < 1e-12 and found.smallest > 0 and found.curvature_ratio == 0
    away = Network({name: array + np.float32(0.5) for name, array in solved.parameters.items()})
    assert not stationarity(spec, away, seen).is_stationary


def test_a_penalty_moves_the_point_that_is_stationary() -> None:
    seen, solved = data(X, REAL, 2), least_squares(X, REAL)
    assert not stationarity(TrialSpec(model=Model(l2=1.0)), solved, seen).is_stationary


def test_zeros_are_a_saddle_of_a_deep_linear_network() -> None:
    """At (0, 0) the Hessian of the product of two kernels is [[0, A], [Aᵀ, 0]], so that λmin = −λmax."""
    y = X[:, :2] - X[:, :2].mean(axis=0)
    for width in (3, 20):
        shapes = parameter_shapes((3, width, 2), None)
        net = Network({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
        found = stationarity(TrialSpec(model=Model((width,), "linear")), net, data(X, y, 2))
        assert found.gradient_norm == pytest.approx(0, abs=1e-6)
        assert found.curvature_ratio < -0.3 and found.is_saddle and not found.is_stationary


def test_a_network_that_is_flat_has_neither_gradient_nor_curvature() -> None:
    y = np.ones((40, 1), np.float32)
    for width in (4, 40):
        net = Network.of_layers(
            [np.zeros((3, width), np.float32), np.zeros((width, 1), np.float32)],
            [np.full(width, -1, np.float32), np.ones(1, np.float32)],
        )
        found = stationarity(TrialSpec(model=Model((width,))), net, data(X, y, 1))
        assert found.gradient_norm == 0 and found.gradient_term == 0
        assert found.smallest == pytest.approx(0, abs=1e-12) and found.largest == pytest.approx(2)  # the output's bias
        assert found.is_stationary


def test_a_diverged_network_is_neither() -> None:
    net = drawn((3, 4, 2))
    broken = Network(net.parameters | {"bias_1": np.array([np.nan, 0], np.float32)})
    found = stationarity(TrialSpec(model=Model((4,))), broken, data(X, REAL, 2))
    assert np.isnan([found.gradient_norm, found.largest, found.smallest, found.gradient_term, found.curvature_ratio]).all()
    assert not found.is_stationary and not found.is_saddle


def test_rules_by_hand() -> None:
    assert Stationarity(0.1, largest=10, smallest=-0.05, trivial=1).gradient_term == pytest.approx(5e-4)
    assert Stationarity(0.1, largest=10, smallest=-0.05, trivial=1).is_stationary
    assert not Stationarity(0.1, largest=10, smallest=-0.05, trivial=0.1).is_stationary
    assert Stationarity(0.1, largest=10, smallest=-0.2, trivial=1).is_saddle
    assert not Stationarity(1.1, largest=10, smallest=-2, trivial=1).is_saddle, "a step along the gradient gains 6%"
    assert Stationarity(0.0, largest=0, smallest=0, trivial=0).is_stationary
    assert Stationarity(0.0, largest=-1, smallest=-2, trivial=1).is_saddle
    assert Stationarity(0.1, largest=0, smallest=0, trivial=1).gradient_term == float("inf")


def test_eigenvalues_of_either_sign_are_found() -> None:
    draw = np.random.default_rng(0)
    axes = np.linalg.qr(draw.normal(size=(300, 300)))[0]
    bulk = draw.normal(0, 1e-3, 298)
    for low, high in ((-0.02, 1), (-1, 0.02), (-5, -2), (0.5, 2), (-0.011, 1)):
        matrix = (axes * [low, high, *np.clip(bulk + min(max(0, low), high), low, high)]) @ axes.T
        assert extreme_eigenvalues(lambda vector, matrix=matrix: matrix @ vector, 300) == pytest.approx(
            (low, high), abs=1e-4 * max(-low, high)
        )


def test_curvature_on_some_rows_is_that_of_those_rows() -> None:
    spec, net = CASES["tanh"][0], drawn((3, 4, 2))
    all_rows, some = data(X, REAL, 2), data(X[::3], REAL[::3], 2)  # 40 rows: 0, 3, …, 39
    found, expected = stationarity(spec, net, all_rows, rows=14), stationarity(spec, net, some)
    assert (found.smallest, found.largest) == pytest.approx((expected.smallest, expected.largest))
    assert found.gradient_norm == stationarity(spec, net, all_rows).gradient_norm != expected.gradient_norm


def test_what_differs_in_an_input_traces_nothing() -> None:
    spec, shapes = CASES["silu, l2"][0], tuple((name, array.shape) for name, array in drawn((3, 4, 2)).trainable.items())
    counts = []
    for seed, l2 in ((0, 0.1), (1, 0.2), (2, 0.3)):
        changed = dataclasses.replace(spec, model=dataclasses.replace(spec.model, l2=l2))
        stationarity(changed, drawn((3, 4, 2), seed=seed), data(X, REAL, 2))
        derivatives = curvature._derivatives("silu", None, spec.loss.name, shapes)
        counts.append([each.experimental_get_tracing_count() for each in (derivatives.gradient, derivatives.product)])
    assert counts == counts[:1] * 3


def test_a_trained_network() -> None:
    spec = TrialSpec(data=Diabetes(), model=Model((8,), "tanh"), training=Training(40), replicates=Replicates(2))
    trained = study.train(spec)
    seen = study.load_data(spec)
    before, after = (stationarity(spec, net.unstack()[0], seen) for net in (trained.initial, trained.network))
    assert after.gradient_term < before.gradient_term and after.largest > 0
