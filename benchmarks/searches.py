"""One function per library that searches the default space for a problem: settings, replicates and epochs are the same for all.

Each tries a number of settings, trains so many networks of each (seeds differ, the split doesn't), chooses the setting by their
mean loss on a fifth of the rows, and returns the mean prediction of that setting's networks for the rows in question.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

EPOCHS = 100
OPTIMIZERS, BATCHES, WIDTHS, DEPTHS, RATES = ("adam", "sgd", "rmsprop"), (16, 32, 64), (16, 32, 64), (1, 3), (1e-4, 1e-1)
Setting = Mapping[str, Any]


class Problem(NamedTuple):
    """x [n, inputs] and x_test, standardised. y: [n], numbers in their own unit, or class numbers. outputs: 1, or the classes."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    outputs: int
    seed: int

    @property
    def scale(self) -> tuple[float, float]:
        """Return the centre and spread of the target; (0, 1) for classes."""
        return (float(self.y.mean()), float(self.y.std())) if self.outputs == 1 else (0.0, 1.0)

    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return x and the scaled y to train on, then those to validate on."""
        order = np.random.default_rng(self.seed).permutation(len(self.x))
        val, train = order[: len(order) // 5], order[len(order) // 5 :]
        centre, spread = self.scale
        y = (self.y - centre) / spread if self.outputs == 1 else self.y
        return self.x[train], y[train], self.x[val], y[val]

    def delivered(self, outputs: np.ndarray) -> np.ndarray:
        """Return predictions from a network's outputs [n, outputs]: the target in its unit, or probabilities."""
        if self.outputs == 1:
            centre, spread = self.scale
            return outputs[:, 0].astype(float) * spread + centre
        odds = np.exp(outputs.astype(float) - outputs.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)


def network(setting: Setting, inputs: int, outputs: int):  # type: ignore[no-untyped-def]
    import keras

    hidden = [keras.layers.Dense(setting["width"], "relu") for _ in range(setting["depth"])]
    model = keras.Sequential([keras.Input((inputs,)), *hidden, keras.layers.Dense(outputs)])
    optimizers = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD, "rmsprop": keras.optimizers.RMSprop}
    loss = "mse" if outputs == 1 else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers[setting["optimizer"]](setting["rate"]), loss)
    return model


def keras_fit(problem: Problem, setting: Setting, replicates: int) -> tuple[float, np.ndarray]:
    """Train with `fit`; return the mean validation loss and the mean prediction for `x_test`."""
    import keras

    x, y, x_val, y_val = problem.parts()
    losses, outputs = [], []
    for number in range(replicates):
        keras.utils.set_random_seed(1000 * problem.seed + number)
        model = network(setting, x.shape[1], problem.outputs)
        told = model.fit(x, y, setting["batch"], EPOCHS, validation_data=(x_val, y_val), verbose=0)
        losses.append(told.history["val_loss"][-1])
        outputs.append(problem.delivered(model.predict(problem.x_test, verbose=0)))
    return float(np.mean(losses)), np.mean(outputs, axis=0)


def optuna_keras(problem: Problem, settings: int, replicates: int) -> np.ndarray:
    """Optuna's TPE around Keras `fit`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    delivered = {}

    def objective(trial: optuna.Trial) -> float:
        setting = {
            "optimizer": trial.suggest_categorical("optimizer", OPTIMIZERS),
            "rate": trial.suggest_float("rate", *RATES, log=True),
            "batch": trial.suggest_categorical("batch", BATCHES),
            "width": trial.suggest_categorical("width", WIDTHS),
            "depth": trial.suggest_int("depth", *DEPTHS),
        }
        loss, delivered[trial.number] = keras_fit(problem, setting, replicates)
        return loss

    found = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=problem.seed))
    found.optimize(objective, settings)
    return delivered[found.best_trial.number]


def keras_tuner(problem: Problem, settings: int, replicates: int) -> np.ndarray:
    """KerasTuner's random search: it keeps one network per setting, its best epoch, which is what it delivers."""
    import keras_tuner as kt

    x, y, x_val, y_val = problem.parts()

    class Network(kt.HyperModel):
        def build(self, hp):  # type: ignore[no-untyped-def]
            setting = {
                "optimizer": hp.Choice("optimizer", list(OPTIMIZERS)),
                "rate": hp.Float("rate", *RATES, sampling="log"),
                "width": hp.Choice("width", list(WIDTHS)),
                "depth": hp.Int("depth", *DEPTHS),
            }
            return network(setting, x.shape[1], problem.outputs)

        def fit(self, hp, model, *args, **kwargs):  # type: ignore[no-untyped-def]
            return model.fit(*args, batch_size=hp.Choice("batch", list(BATCHES)), **kwargs)

    with tempfile.TemporaryDirectory() as folder:
        search = kt.RandomSearch(
            Network(),
            kt.Objective("val_loss", "min"),
            max_trials=settings,
            executions_per_trial=replicates,
            seed=problem.seed,
            directory=folder,
        )
        search.search(x, y, validation_data=(x_val, y_val), epochs=EPOCHS, verbose=0)
        return problem.delivered(search.get_best_models()[0].predict(problem.x_test, verbose=0))


def ray_tune(problem: Problem, settings: int, replicates: int) -> np.ndarray:
    """Ray Tune's random search around Keras `fit`, a trial per core at once."""
    import ray
    from ray import tune

    def trainable(setting: Setting) -> None:
        loss, predicted = keras_fit(problem, setting, replicates)
        tune.report({"loss": loss, "predicted": predicted.tolist()})

    space = {
        "optimizer": tune.choice(OPTIMIZERS),
        "rate": tune.loguniform(*RATES),
        "batch": tune.choice(BATCHES),
        "width": tune.choice(WIDTHS),
        "depth": tune.randint(DEPTHS[0], DEPTHS[1] + 1),
    }
    ray.init(include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        run = tune.RunConfig(storage_path=folder, verbose=0)
        tuner = tune.Tuner(trainable, param_space=space, tune_config=tune.TuneConfig(num_samples=settings), run_config=run)
        best = tuner.fit().get_best_result("loss", "min")
    ray.shutdown()
    return np.array(best.metrics["predicted"])


def halving(problem: Problem, settings: int, replicates: int) -> np.ndarray:
    """scikit-learn's successive halving by the number of rows, over its five folds, which take the place of replicates."""
    import warnings

    from scipy.stats import loguniform
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingRandomSearchCV
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    warnings.simplefilter("ignore")  # networks that haven't converged after so many epochs
    regression = problem.outputs == 1
    model = (MLPRegressor if regression else MLPClassifier)(max_iter=EPOCHS, random_state=problem.seed)
    space = {
        "solver": ["adam", "sgd"],
        "learning_rate_init": loguniform(*RATES),
        "batch_size": list(BATCHES),
        "hidden_layer_sizes": [(width,) * depth for width in WIDTHS for depth in range(DEPTHS[0], DEPTHS[1] + 1)],
    }
    search = HalvingRandomSearchCV(model, space, n_candidates=settings, random_state=problem.seed, error_score=-np.inf)
    centre, spread = problem.scale
    search.fit(problem.x, (problem.y - centre) / spread if regression else problem.y)
    return search.predict(problem.x_test) * spread + centre if regression else search.predict_proba(problem.x_test)
