"""What each side makes of a table: it reads train.csv and the rows of test.csv, and writes its predictions to predictions.npy.

`python -m benchmarks.table_sides SIDE TASK SEED` runs in the folder of the two files, whose last column is the target; in test.csv
it is missing. Predictions are the target in its own unit, [n], or probabilities of the classes in sorted order, [n, K]. Sides have
their own defaults. What they can't do themselves is done as their manuals do it: inputs are standardised and one-hot for
scikit-learn and Keras, missing numbers get the median and an indicator (gradient boosting takes them as they are), and regression
targets are standardised for the networks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

REGRESSION = "regression"
TARGET = "target"
TUNER_TRIALS = 8
ROOT = Path(__file__).resolve().parents[1]


class Task(NamedTuple):
    """x, x_test: texts have pandas' category type, with the same levels. y: numbers, or classes as numbers."""

    x: pd.DataFrame
    y: np.ndarray
    x_test: pd.DataFrame
    classes: np.ndarray | None
    seed: int


def read(kind: str, seed: int) -> Task:
    train, test = (pd.read_csv(f"{part}.csv", keep_default_na=False, na_values=[""]) for part in ("train", "test"))
    x, x_test = train.drop(columns=TARGET), test
    for name in x.select_dtypes(exclude="number"):
        levels = sorted(set(x[name].dropna().astype(str)) | set(x_test[name].dropna().astype(str)))
        for part in (x, x_test):
            part[name] = pd.Categorical(part[name].where(part[name].isna(), part[name].astype(str)), categories=levels)
    if kind == REGRESSION:
        return Task(x, train[TARGET].to_numpy(float), x_test, None, seed)
    classes, y = np.unique(train[TARGET].astype(str), return_inverse=True)
    return Task(x, y, x_test, classes, seed)


# -- scikit-learn ----------------------------------------------------------------------------------------------------------------


def columns(scale: bool = True):  # type: ignore[no-untyped-def]
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), *([StandardScaler()] * scale))
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")), (texts, make_column_selector(dtype_exclude="number"))
    )


def predictions(task: Task, model) -> np.ndarray:  # type: ignore[no-untyped-def]
    model.fit(task.x, task.y)
    return model.predict(task.x_test) if task.classes is None else model.predict_proba(task.x_test)


def dummy(task: Task) -> np.ndarray:
    from sklearn.dummy import DummyClassifier, DummyRegressor

    return predictions(task, DummyRegressor() if task.classes is None else DummyClassifier())


def linear(task: Task) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline

    model = Ridge() if task.classes is None else LogisticRegression(max_iter=1000)
    return predictions(task, make_pipeline(columns(), model))


def forest(task: Task) -> np.ndarray:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.pipeline import make_pipeline

    model = (RandomForestRegressor if task.classes is None else RandomForestClassifier)(random_state=task.seed)
    return predictions(task, make_pipeline(columns(), model))


def boosting(task: Task) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor if task.classes is None else HistGradientBoostingClassifier
    return predictions(task, model(categorical_features="from_dtype", random_state=task.seed))


def scikit_learn_mlp(task: Task) -> np.ndarray:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if task.classes is None:
        model = TransformedTargetRegressor(MLPRegressor(random_state=task.seed), transformer=StandardScaler())
    else:
        model = MLPClassifier(random_state=task.seed)
    return predictions(task, make_pipeline(columns(), model))


# -- networks of others ----------------------------------------------------------------------------------------------------------


def keras_tuner(task: Task) -> np.ndarray:
    """The best of TUNER_TRIALS settings of our default search space, by a fifth of the rows."""
    from benchmarks.searches import Problem
    from benchmarks.searches import keras_tuner as search

    prepared = columns()
    x, x_test = (np.asarray(part, np.float32) for part in (prepared.fit_transform(task.x), prepared.transform(task.x_test)))
    outputs = 1 if task.classes is None else len(task.classes)
    return search(Problem(x, task.y, x_test, outputs, task.seed), TUNER_TRIALS, replicates=1)


def pytabkit(name: str, **settings: object) -> Callable[[Task], np.ndarray]:
    def side(task: Task) -> np.ndarray:
        import pytabkit
        import torch

        torch.set_num_threads(os.cpu_count() or 1)
        x, x_test = filled(task.x, task.x), filled(task.x_test, task.x)
        model = getattr(pytabkit, f"{name}_{'Regressor' if task.classes is None else 'Classifier'}")
        return predictions(task._replace(x=x, x_test=x_test), model(device="cpu", random_state=task.seed, verbosity=0, **settings))

    return side


def filled(part: pd.DataFrame, train: pd.DataFrame) -> pd.DataFrame:
    """Fill missing numbers with the training rows' medians, with an indicator, and missing texts with a level of their own."""
    part = part.copy()
    for name in part.columns:
        if isinstance(part[name].dtype, pd.CategoricalDtype):
            part[name] = part[name].cat.add_categories("missing").fillna("missing")
        elif train[name].isna().any():
            part[f"{name} missing"] = part[name].isna().astype(float)
            part[name] = part[name].fillna(train[name].median())
    return part


# -- ours ------------------------------------------------------------------------------------------------------------------------


def ours(*settings: str) -> Callable[[Task], np.ndarray]:
    """Return the study of these settings, run by the real command; it keeps no rows back for a test of its own."""

    def side(task: Task) -> np.ndarray:
        kind = "regression" if task.classes is None else "classification"
        of_data = ["data=table", "data.path=train.csv", f"data.target={TARGET}", f"data.task={kind}"]
        study = [sys.executable, "-m", "study"]
        subprocess.run(
            [*study, "-m", *of_data, "data.test_fraction=0", f"seed={task.seed}", "hydra.sweeper.study_name=s", *settings],
            check=True,
        )
        subprocess.run([*study, "predict", "s", "test.csv", "out.csv"], check=True)
        out = pd.read_csv("out.csv")
        if task.classes is None:
            return out[TARGET].to_numpy(float)
        return out[list(task.classes)].to_numpy(float)

    return side


SIDES: dict[str, tuple[str, Callable[[Task], np.ndarray]]] = {
    "dummy": ("sklearn", dummy),
    "ridge or logistic": ("sklearn", linear),
    "random forest": ("sklearn", forest),
    "histogram gradient boosting": ("sklearn", boosting),
    "scikit-learn MLP": ("sklearn", scikit_learn_mlp),
    "KerasTuner": ("keras_tuner", keras_tuner),
    "RealMLP": ("pytabkit", pytabkit("RealMLP_TD")),
    "RealMLP, five folds": ("pytabkit", pytabkit("RealMLP_TD", n_cv=5)),
    "TabM": ("pytabkit", pytabkit("TabM_D")),
    "TabM, five folds": ("pytabkit", pytabkit("TabM_D", n_cv=5)),
    "mlp-study": ("study", ours()),
    "mlp-study, +experiment=table": ("study", ours("+experiment=table")),
    "mlp-study, its first setting": ("study", ours("+experiment=table", "hydra.sweeper.n_trials=1")),
}


def main() -> None:
    side, kind, seed = sys.argv[1:]
    warnings.simplefilter("ignore")
    np.save("predictions.npy", SIDES[side][1](read(kind, int(seed))))


if __name__ == "__main__":
    main()
