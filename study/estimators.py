"""scikit-learn's estimators: one setting, or the best of a study, as the mean prediction of its networks.

>>> from sklearn.datasets import load_iris
>>> from study.estimators import MLPStudyClassifier
>>> x, y = load_iris(return_X_y=True)
>>> MLPStudyClassifier(units=(8,), epochs=20, replicates=2).fit(x, y).predict_proba(x[:1]).shape
(1, 3)
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_sample_weight,
    _check_y,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from study.config.domains import value_text
from study.data.encoding import NewInRows
from study.data.file_columns import made_up_names
from study.data.kept_rows import table_of
from study.errors import BadInput
from study.records.arrays import Array, Doubles
from study.settings.data import CLASSIFICATION, REGRESSION

# the settings that have a parameter of their own
SETTINGS = {
    "units": "model.units",
    "activation": "model.activation",
    "dropout": "model.dropout",
    "optimizer": "optimizer",
    "learning_rate": "optimizer.learning_rate",
    "batch_size": "training.batch_size",
    "epochs": "training.epochs",
    "patience": "training.patience",
    "validation_fraction": "data.validation_fraction",
    "replicates": "replicates.count",
}
SPLITS = "replicates.vary=[init,order,data]"
MOST_SEED = 2**31 - 1


class UnfitRows(BadInput, ValueError):
    """Bad input, as scikit-learn's callers expect it."""


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except BadInput as bad:
        raise UnfitRows(bad.faults or str(bad)) from bad


class _MLPStudy(BaseEstimator):  # type: ignore[misc]
    """Base of both estimators, with the parameters."""

    _task: str

    def __init__(
        self,
        units: Sequence[int] = (64, 64),
        *,
        activation: str | None = None,
        dropout: float | None = None,
        optimizer: str | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        epochs: int | None = 200,
        patience: int | None = 20,
        validation_fraction: float | None = None,
        replicates: int | None = None,
        settings: Sequence[str] = (),
        space: Mapping[str, object] | None = None,
        n_trials: int | None = None,
        study_name: str | None = None,
        random_state: Any = 0,
    ) -> None:
        self.units = units
        self.activation = activation
        self.dropout = dropout
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.replicates = replicates
        self.settings = settings
        self.space = space
        self.n_trials = n_trials
        self.study_name = study_name
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def _overrides(self) -> list[str]:
        """Return the setting as on the command line; a parameter that is None leaves the default."""
        given = {key: getattr(self, name) for name, key in SETTINGS.items() if getattr(self, name) is not None}
        given = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
        seed = self.random_state if isinstance(self.random_state, int) else check_random_state(self.random_state).randint(MOST_SEED)
        searched = self.space or {}
        lines = [f"{key}={value_text(value)}" for key, value in given.items() if key not in searched]
        return [f"data.task={self._task}", SPLITS, f"seed={seed}", *lines, *self.settings]

    def _fit(self, x: Any, y: Array, weights: Any) -> Self:
        from study.runner import fit

        lines = self._overrides()
        before = None if self.space is None else fit.Before(self.space, self.n_trials, self.study_name)
        with _refusals():
            self.fitted_ = fit.fit(x, y, lines, weights, before)
        return self

    def _rows(self, x: Any, *, reset: bool) -> Any:
        """Return a frame, or an array of numbers whose columns have the names that training gives them."""
        if hasattr(x, "columns") and hasattr(x, "dtypes"):
            _check_feature_names(self, x, reset=reset)
            _check_n_features(self, x, reset=reset)
            if len(x) < (least := 2 if reset else 1):
                raise ValueError(f"Found array with {len(x)} sample(s) while a minimum of {least} is required.")
            return x if hasattr(x, "iloc") else table_of(x).to_pandas()
        import pandas as pd

        array = validate_data(self, x, reset=reset, ensure_all_finite="allow-nan", ensure_min_samples=2 if reset else 1)
        return pd.DataFrame(array, columns=made_up_names(array.shape[1]))

    def _predicted(self, x: Any) -> Doubles:
        """Return the mean prediction, [n, outputs]."""
        check_is_fitted(self)
        rows = self._rows(x, reset=False)
        with _refusals(), warnings.catch_warnings():
            # a search has many parts, and each has rows beyond those that it was fitted on
            warnings.simplefilter("ignore", NewInRows)
            predicted = self.fitted_.predict(rows).to_numpy()
        if np.isnan(predicted).any():
            raise ValueError("Input X contains NaN or infinity in a column that had none in fit.")
        return predicted


def _weights(sample_weight: Any, rows: Any) -> tuple[Array, Array | None]:
    """Return which rows count, bool [n], and what each of those counts for; None if all count alike."""
    if sample_weight is None:
        return np.ones(len(rows), bool), None
    weights = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
    if not weights.any():
        raise ValueError("all sample_weight are zero")
    return weights > 0, weights[weights > 0]


class MLPStudyRegressor(RegressorMixin, _MLPStudy):  # type: ignore[misc]
    """The mean prediction of a setting's networks, as an estimator of scikit-learn's; y may have several columns.

    Parameters are in docs/python.md. fitted_: what `study.fit` returns.
    """

    _task = REGRESSION

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803  scikit-learn's name
        rows = self._rows(X, reset=True)
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        targets = _check_y(y, multi_output=True, y_numeric=True, estimator=self)
        check_consistent_length(rows, targets)
        self._several = targets.ndim == 2
        counted, weights = _weights(sample_weight, rows)
        return self._fit(rows[counted], targets[counted].astype(np.float64), weights)

    def predict(self, X: Any) -> Doubles:  # noqa: N803
        predicted = self._predicted(X)
        return predicted if self._several else predicted[:, 0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class MLPStudyClassifier(ClassifierMixin, _MLPStudy):  # type: ignore[misc]
    """The mean probabilities of a setting's networks, as an estimator of scikit-learn's.

    Parameters are in docs/python.md. fitted_: what `study.fit` returns.
    """

    _task = CLASSIFICATION

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        rows = self._rows(X, reset=True)
        labels = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        check_consistent_length(rows, labels)
        counted, weights = _weights(sample_weight, rows)
        self.classes_, codes = np.unique(labels[counted], return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has 1 class, {self.classes_[0]!r}; at least two are needed")
        return self._fit(rows[counted], codes, weights)

    def predict(self, X: Any) -> Array:  # noqa: N803
        probability = self.predict_proba(X)
        return self.classes_[self.fitted_.predictor.decided(probability)]

    def predict_proba(self, X: Any) -> Doubles:  # noqa: N803
        predicted = self._predicted(X)
        return predicted[:, np.argsort([int(name) for name in self.fitted_.names])]
