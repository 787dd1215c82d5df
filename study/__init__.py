"""mlp-study: does an MLP converge to a single, stable value?

>>> import study
>>> spec = study.compose(["data=digits", "training.epochs=2", "replicates.count=2"])
>>> cohort = study.train(spec)
>>> study.fingerprint(cohort, 0) == study.fingerprint(cohort, 1)
False
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING

from study.errors import BadInput, Fault, StudyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import keras

    from study.analysis.alignment import align
    from study.analysis.comparison import compare
    from study.analysis.motion import Motion
    from study.engine.curvature import Stationarity
    from study.records.arrays import Integers
    from study.records.cohort import Cohort
    from study.records.dataset import Dataset
    from study.results.fitted import Fitted
    from study.results.study_handle import Study
    from study.settings.spec import TrialSpec
    from study.statistics.variance_components import attribute

__all__ = [
    "BadInput",
    "Cohort",
    "Dataset",
    "Fitted",
    "StudyError",
    "TrialSpec",
    "align",
    "attribute",
    "batch_orders",
    "choice",
    "compare",
    "compose",
    "fingerprint",
    "fit",
    "interval",
    "keras_model",
    "load_data",
    "log",
    "motion",
    "open",
    "stationarity",
    "train",
    "tune",
]

# Imports inside the functions keep `import study`, and so every start of the command, free of what it doesn't need.


def compose(overrides: list[str] | tuple[str, ...] = ()) -> TrialSpec:
    """The trial that a launch with these Hydra overrides would train.

    Raises BadInput, with all faults, for settings that can't be.

    >>> spec = study.compose(["data=iris", "optimizer=sgd", "optimizer.momentum=0.9"])
    >>> spec.optimizer.momentum, spec.loss.name
    (0.9, 'sparse_categorical_crossentropy')
    """
    from study.config import composition

    return composition.compose(overrides)


def load_data(spec: TrialSpec) -> Dataset:
    """x_train, y_train, x_val, y_val as the networks see them, after normalisation.

    Raises BadInput for a table that isn't there or can't be trained on.

    >>> data = study.load_data(study.compose(["data=iris"]))
    >>> data.x_train.shape, data.y_val.dtype.name, data.target_names
    ((96, 4), 'int32', ('setosa', 'versicolor', 'virginica'))
    """
    from study.data import dataset

    return dataset.load_data(spec)


def batch_orders(spec: TrialSpec) -> Integers:
    """Row numbers of every mini-batch, int32 [R, epochs, steps, batch].

    A trailing partial batch is dropped or, with `training.partial_batch=keep`, filled up with -1.

    >>> study.batch_orders(study.compose(["data=iris", "training.epochs=2", "replicates.count=2"])).shape
    (2, 2, 3, 32)
    """
    from study.data import batches

    return batches.batch_orders(spec, len(load_data(spec).x_train))


def train(spec: TrialSpec) -> Cohort:
    """Trains the trial's R replicates. A network that diverges is kept and labelled, which is no error.

    >>> cohort = study.train(study.compose(["data=iris", "model.units=[4]", "training.epochs=2", "replicates.count=2"]))
    >>> cohort.val_loss.shape, [kernel.shape for kernel in cohort.kernels]
    ((2, 2), [(2, 4, 4), (2, 4, 3)])
    """
    from study.runner import trial

    return trial.train(spec)


def keras_model(cohort: Cohort, replicate: int) -> keras.Sequential:
    """One replicate as a compiled `keras.Sequential` that predicts what the cohort holds (logits for classification).

    >>> cohort = study.train(study.compose(["data=iris", "model.units=[4]", "training.epochs=2", "replicates.count=2"]))
    >>> study.keras_model(cohort, 1).output_shape
    (None, 3)
    """
    from study.engine import export

    return export.keras_model(cohort, replicate)


def fingerprint(cohort: Cohort, replicate: int) -> str:
    """sha256 of one replicate's final weights, 64 hex digits: equal if and only if all bits are.

    >>> spec = study.compose(["data=iris", "model.units=[4]", "training.epochs=2", "replicates.count=2", "replicates.vary=[]"])
    >>> cohort = study.train(spec)
    >>> study.fingerprint(cohort, 0) == study.fingerprint(cohort, 1)
    True
    """
    from study.analysis.fingerprints import digest

    return digest(cohort.networks()[replicate])


def stationarity(cohort: Cohort, replicate: int) -> Stationarity:
    """Measure whether one replicate stands still: its gradient, and the largest and smallest curvature of its training loss.

    Takes a second for 64-64 units. A small gradient is no proof of convergence: read it beside the replicate's label.

    >>> cohort = study.train(study.compose(["data=iris", "model.units=[4]", "training.epochs=2", "replicates.count=2"]))
    >>> stillness = study.stationarity(cohort, 0)
    >>> stillness.largest > stillness.smallest
    True
    """
    from study.data import dataset
    from study.engine import curvature

    data = dataset.load_replicate(cohort.spec, cohort.spec.replicates.numbers[replicate])
    return curvature.stationarity(cohort.spec, cohort.networks()[replicate], data)


def motion(cohort: Cohort) -> Motion:
    """Measure whether networks come to rest along their training, in their weights and as functions: arrays of [R] and labels.

    Raises BadInput for a cohort that was trained with `training.motion=false`.

    >>> cohort = study.train(study.compose(["data=iris", "model.units=[4]", "training.epochs=40", "replicates.count=2"]))
    >>> moved = study.motion(cohort)
    >>> moved.wander.shape, moved.weights_labels
    ((2,), ('drifting', 'drifting'))
    """
    from study.analysis import motion
    from study.data import dataset

    moved = motion.of_cohort(cohort, dataset.load_replicates(cohort.spec))
    if moved is None:
        raise BadInput([Fault("training.motion", False, "true: without it, networks aren't followed")])
    return moved


def open(name: str, storage: str | None = None, tracking_uri: str | None = None) -> Study:
    """A study that was run, by its name: its answer, its tables (pandas) and its networks (NumPy).

    storage: Optuna's, the default is optuna.db in this folder; tracking_uri: MLflow's, the default is MLFLOW_TRACKING_URI, else
    mlflow.db in this folder. Raises BadInput, with the known names, if there is no study of this name, and Unreachable.

    >>> tiny = study.open("tiny")
    >>> tiny.trials["optimizer.learning_rate"].to_dict()
    {0: 0.01, 1: 0.1}
    >>> tiny.weights(trial=1, replicate=0)
    Network(4-4-3)
    >>> tiny.curves(1).columns.tolist()
    ['replicate', 'epoch', 'train_loss', 'val_loss', 'learning_rate']
    """
    with warnings.catch_warnings():
        # MLflow loads tqdm, which warns in a notebook without widgets; none are used
        warnings.filterwarnings("ignore", "IProgress not found")
        from study.results import study_handle

    return study_handle.open_study(name, storage, tracking_uri)


def tune(
    rows: object | None = None,
    target: object | None = None,
    space: Mapping[str, object] | None = None,
    *,
    n_trials: int | None = None,
    settings: Sequence[str] = (),
    name: str | None = None,
    progress: bool = True,
) -> Study:
    """Run a study in this process, or resume it, and open it: `mlp-study --multirun` from Python.

    rows: a pandas or polars frame, an Arrow table, a mapping of names to columns, an array [n, columns], or the path of a table;
    None for data that the settings name. target: the name of the column to predict, a list of names, or the values, [n] or
    [n, targets]. space: settings to search, each with a list of choices, a Python range, or a domain from `study.log`,
    `study.interval` or `study.choice`; None searches optimizer, learning rate, batch size, width and depth. n_trials: the total
    over all calls. settings: overrides as on the command line, such as "training.epochs=50" or "hydra.sweeper.minutes=10". name:
    the study's; by default the same call makes the same one. progress: False prints nothing.

    Records lie in the working directory, as those of a command do; rows in memory are kept there as a Parquet file named after its
    content. A call that was interrupted, or killed, is resumed by the same call, or by the command that `mlp-study show` prints.
    A trial that fails is listed in `trials`, with its reason. Raises BadInput with all faults before anything is trained,
    Unreachable, NotWritable and Corrupt.

    >>> short = ["data=iris", "training.epochs=2", "replicates.count=2", "model.units=[4]"]
    >>> found = study.tune(space={"optimizer": ["adam", "sgd"]}, settings=short, name="brief", progress=False)
    >>> found.trials["optimizer"].to_dict()
    {0: 'adam', 1: 'sgd'}
    """
    from study.runner import given_rows, tune

    launched = tune.tune(given_rows.kept(rows, target), space, n_trials, settings, name, progress)
    return open(launched.name, launched.storage, launched.uri)


def fit(rows: object | None = None, target: object | None = None, settings: Sequence[str] = ()) -> Fitted:
    """Train the networks of one setting, without records, for use: their mean prediction.

    rows, target: as for `study.tune`. settings: overrides as on the command line. Where they don't say otherwise, no row is kept
    back as a test part, each network has a validation part of its own, and a batch has no more rows than there are. Networks
    whose numbers aren't finite are left out. Raises BadInput with all faults, and if no network is left.

    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 60)[:, None]
    >>> fitted = study.fit(x, 3 * x[:, 0], ["model.units=[8]", "training.epochs=5", "replicates.count=2"])
    >>> fitted.predict(x[:2]).shape
    (2, 1)
    """
    from study.runner import fit

    return fit.fit(rows, target, settings)


def choice(*values: object, when: Mapping[str, object] | None = None) -> str:
    """A domain of these values, in the grammar of the command line, for the space of `study.tune`.

    when: settings with their values, to search this setting only with them.

    >>> study.choice(0.5, 0.9, when={"optimizer": ["sgd", "rmsprop"]})
    'tag(optimizer:sgd|rmsprop,choice(0.5,0.9))'
    """
    from study.config import domains

    return domains.choice(*values, when=when)


def interval(low: float, high: float, *, whole: bool = False, when: Mapping[str, object] | None = None) -> str:
    """A domain of all numbers from `low` to `high`, or of the whole ones. when: as for `study.choice`.

    >>> study.interval(0, 0.5), study.interval(8, 128, whole=True)
    ('interval(0,0.5)', 'int(interval(8,128))')
    """
    from study.config import domains

    return domains.interval(low, high, whole=whole, when=when)


def log(low: float, high: float, *, whole: bool = False, when: Mapping[str, object] | None = None) -> str:
    """A domain as `study.interval` makes it, on a logarithmic scale.

    >>> study.log(1e-4, 1e-1)
    'tag(log,interval(0.0001,0.1))'
    """
    from study.config import domains

    return domains.log(low, high, whole=whole, when=when)


LAZY = {
    "Cohort": "study.records.cohort",
    "Dataset": "study.records.dataset",
    "Fitted": "study.results.fitted",
    "TrialSpec": "study.settings.spec",
    "align": "study.analysis.alignment",
    "attribute": "study.statistics.variance_components",
    "compare": "study.analysis.comparison",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    if name in LAZY:
        return getattr(importlib.import_module(LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
