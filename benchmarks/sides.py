"""One training function a library: the same data, model, loss, Adam and number of steps, written the way a good user would.

Each takes a workload and a number of replicates, compiles and warms up, and returns what is timed: from the seeds to the trained
networks, initial weights and batch orders drawn anew. Libraries are imported where they are used; a side runs in its own process.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

Train = Callable[[], object]


@dataclass(frozen=True)
class Workload:
    """A multilayer perceptron with relu; mean squared error where it has one output, else sparse categorical cross-entropy.

    All sides take rows // batch steps an epoch. Those that would take a smaller last batch too get no rows for it (`whole`).
    """

    sizes: tuple[int, ...]
    rows: int
    batch: int
    epochs: int

    def __str__(self) -> str:
        sizes = " → ".join(map(str, self.sizes))
        return f"{self.rows:,} × {sizes}, batch {self.batch}, {self.epochs} epochs"

    @property
    def classes(self) -> bool:
        return self.sizes[-1] > 1

    @property
    def steps(self) -> int:
        return self.rows // self.batch

    @property
    def flops(self) -> int:
        """Floating-point operations in the matrix products of one network's training.

        A layer of a step has three products of 2 · batch · in · out each: the output, the kernel's gradient, and the gradient of
        the input, which the first layer doesn't need.
        """
        products = [2 * self.batch * fan_in * out for fan_in, out in itertools.pairwise(self.sizes)]
        return (3 * sum(products) - products[0]) * self.steps * self.epochs

    def data(self, whole: bool = False) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        rows = self.steps * self.batch if whole else self.rows
        x = rng.uniform(size=(rows, self.sizes[0])).astype(np.float32)
        if self.classes:
            return x, rng.integers(self.sizes[-1], size=rows, dtype=np.int32)
        return x, rng.uniform(size=(rows, 1)).astype(np.float32)

    def kernels(self, replicates: int) -> list[np.ndarray]:
        """Glorot's uniform start, [R, in, out] a layer."""
        rng, shapes = np.random.default_rng(), list(itertools.pairwise(self.sizes))
        limits = [np.sqrt(6 / sum(shape)) for shape in shapes]
        return [rng.uniform(-a, a, (replicates, *shape)).astype(np.float32) for a, shape in zip(limits, shapes, strict=True)]

    def orders(self, replicates: int) -> np.ndarray:
        """Row numbers [R, epochs, steps, batch]."""
        rng = np.random.default_rng()
        shuffled = rng.permuted(np.broadcast_to(np.arange(self.rows, dtype=np.int32), (replicates, self.epochs, self.rows)), axis=2)
        return shuffled[..., : self.steps * self.batch].reshape(replicates, self.epochs, self.steps, self.batch)


# -- one network after another ---------------------------------------------------------------------------------------------------


def _keras_model(work: Workload, **compiling: object):  # type: ignore[no-untyped-def]
    import keras

    hidden = [keras.layers.Dense(units, "relu") for units in work.sizes[1:-1]]
    model = keras.Sequential([keras.Input(work.sizes[:1]), *hidden, keras.layers.Dense(work.sizes[-1])])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if work.classes else "mse"
    model.compile(keras.optimizers.Adam(1e-3), loss, **compiling)
    return model


def keras_fit(work: Workload, replicates: int, **compiling: object) -> Train:
    """`fit` of one model again and again: a new model would be traced and compiled anew."""
    x, y = work.data(whole=True)
    model = _keras_model(work, **compiling)

    def train() -> None:
        for _ in range(replicates):
            model.fit(x, y, work.batch, work.epochs, verbose=0)

    model.fit(x, y, work.batch, 2, verbose=0)
    return train


def keras_plain(work: Workload, replicates: int) -> Train:
    return keras_fit(work, replicates, jit_compile=False)


def keras_jit(work: Workload, replicates: int) -> Train:
    return keras_fit(work, replicates, jit_compile=True)


def keras_one_call(work: Workload, replicates: int) -> Train:
    return keras_fit(work, replicates, jit_compile=True, steps_per_execution=work.steps)


def keras_tuner(work: Workload, replicates: int) -> Train:
    """A search of one trial with R executions, divided by R: models are built, traced and saved as the tuner does it."""
    import keras_tuner as kt

    x, y = work.data(whole=True)

    def train(epochs: int = work.epochs) -> None:
        with tempfile.TemporaryDirectory() as folder:
            search = kt.RandomSearch(
                lambda _: _keras_model(work),
                kt.Objective("loss", "min"),
                max_trials=1,
                executions_per_trial=replicates,
                directory=folder,
            )
            search.search(x, y, batch_size=work.batch, epochs=epochs, verbose=0)
            if not search.oracle.get_best_trials():
                raise RuntimeError("KerasTuner's trial failed")

    train(epochs=1)
    return train


def scikit_learn(work: Workload, replicates: int) -> Train:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    x, y = work.data(whole=True)
    warnings.simplefilter("ignore", ConvergenceWarning)  # it trains all epochs, as it should

    def train() -> None:
        for _ in range(replicates):
            network = MLPRegressor(
                hidden_layer_sizes=work.sizes[1:-1],
                alpha=0,
                batch_size=work.batch,
                max_iter=work.epochs,
                tol=0,
                n_iter_no_change=work.epochs + 1,
                epsilon=1e-7,
            )
            network.fit(x, y.ravel())

    train()
    return train


# -- replicates at once ----------------------------------------------------------------------------------------------------------


def torch_eager(work: Workload, replicates: int) -> Train:
    """Replicates are stacked by hand, so that an operation serves them all."""
    import torch

    x, y = map(torch.from_numpy, work.data())

    def loss_of(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The sum of the replicates' mean losses: its gradient holds each one's own."""
        if work.classes:
            return torch.nn.functional.cross_entropy(out.flatten(0, 1), target.flatten().long(), reduction="sum") / work.batch
        return torch.nn.functional.mse_loss(out, target, reduction="sum") / work.batch

    def train(epochs: int = work.epochs) -> None:
        kernels = [torch.from_numpy(kernel).requires_grad_() for kernel in work.kernels(replicates)]
        biases = [torch.zeros(replicates, 1, kernel.shape[2], requires_grad=True) for kernel in kernels]
        layers = list(zip(kernels, biases, strict=True))
        adam = torch.optim.Adam([*kernels, *biases], 1e-3, eps=1e-7, fused=True)
        for rows in torch.from_numpy(work.orders(replicates)[:, :epochs]).flatten(1, 2).unbind(1):
            out = x[rows]
            for kernel, bias in layers[:-1]:
                out = torch.baddbmm(bias, out, kernel).relu()
            adam.zero_grad()
            loss_of(torch.baddbmm(layers[-1][1], out, layers[-1][0]), y[rows]).backward()
            adam.step()

    train(epochs=1)
    return train


def jax_vmap(work: Workload, replicates: int, threads: int = 1) -> Train:
    """The whole training in one compiled program, replicates vmapped; on several threads, a program for each one's share."""
    import jax
    import jax.numpy as jnp

    def loss_of(parameters, x, y):  # type: ignore[no-untyped-def]
        for kernel, bias in parameters[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        out = x @ parameters[-1][0] + parameters[-1][1]
        if work.classes:
            return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(out), y[:, None], 1))
        return jnp.mean(jnp.square(out - y))

    def one_network(kernels, orders, x, y):  # type: ignore[no-untyped-def]
        def step(state, rows):  # type: ignore[no-untyped-def]
            count, parameters, means, squares = state
            count = count + 1
            rate = 1e-3 * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
            batch = (a.at[rows].get(mode="promise_in_bounds") for a in (x, y))
            loss, gradients = jax.value_and_grad(loss_of)(parameters, *batch)
            means = jax.tree.map(lambda m, g: m + 0.1 * (g - m), means, gradients)
            squares = jax.tree.map(lambda s, g: s + 0.001 * (g * g - s), squares, gradients)
            parameters = jax.tree.map(lambda p, m, s: p - rate * m / (jnp.sqrt(s) + 1e-7), parameters, means, squares)
            return (count, parameters, means, squares), loss

        parameters = [(kernel, jnp.zeros(kernel.shape[1])) for kernel in kernels]
        blank = jax.tree.map(jnp.zeros_like, parameters)
        (_, parameters, *_), losses = jax.lax.scan(step, (0.0, parameters, blank, blank), orders)
        return parameters, losses.reshape(work.epochs, work.steps).mean(1)

    program = jax.jit(jax.vmap(one_network, in_axes=(0, 0, None, None)))
    x, y = work.data()
    share = replicates // threads

    def part(_: int) -> object:
        orders = work.orders(share).reshape(share, -1, work.batch)
        return jax.tree.map(np.asarray, program(work.kernels(share), orders, x, y))

    def train() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(part, range(threads)))

    part(0)
    train()
    return train


def jax_two_threads(work: Workload, replicates: int) -> Train:
    return jax_vmap(work, replicates, threads=2)


def mlp_study(work: Workload, replicates: int) -> Train:
    from study.engine.width import WIDTH

    trained_by_us(work, min(replicates, WIDTH))
    return lambda: trained_by_us(work, replicates)


def trained_by_us(work: Workload, replicates: int) -> dict[str, float]:
    """Seconds by phase of `study.engine.training.CohortTraining` with its own defaults; one row is the least it validates."""
    from study.clock import Clock
    from study.engine.training import CohortTraining
    from study.records.dataset import Dataset
    from study.settings import training
    from study.settings.data import Diabetes, Digits
    from study.settings.model import Model
    from study.settings.spec import TrialSpec

    x, y = work.data()
    settings = TrialSpec(
        data=Digits() if work.classes else Diabetes(),  # names the task; the rows are the workload's
        model=Model(units=work.sizes[1:-1]),
        training=training.Training(epochs=work.epochs, batch_size=work.batch),
        replicates=training.Replicates(count=replicates),
    )
    data, clock = Dataset(x, y, x[:1], y[:1], work.sizes[-1]), Clock()
    for _ in CohortTraining(settings, [data] * replicates, clock).legs():
        pass
    return clock.seconds
