"""Tables of losses of trained networks, settings × replicates, with a test part that no training and no choice has seen.

`python -m benchmarks.loss_tables` writes the residuals that tests/test_race.py draws from.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

import study
from study import seeds
from study.analysis import forward
from study.clock import Clock
from study.data import loading, splits
from study.data.scaling import scaled
from study.engine.training import CohortTraining
from study.records.arrays import Array, Doubles
from study.records.dataset import Dataset
from study.records.network import Network
from study.settings.data import REFUSE, Regression
from study.settings.spec import TrialSpec

TASKS = ("diabetes", "friedman1", "digits")
TEST = "data.test_fraction=0.2"
TABLE = "tests/losses.npz"


@dataclass(frozen=True)
class LossTable:
    """Losses of S settings with R replicates, paired: replicate r has the same rows and seeds in all settings.

    splits: [R], the split of each replicate. validation, test: losses, [S, R].
    """

    splits: Array
    validation: Doubles
    test: Doubles


def search_space(count: int, seed: int = 0) -> list[tuple[str, ...]]:
    """Draw settings from the default search space as the random sampler does."""
    rng = np.random.default_rng(seed)
    return [
        (
            f"optimizer={rng.choice(['adam', 'sgd', 'rmsprop'])}",
            f"optimizer.learning_rate={10 ** rng.uniform(-4, -1):.4g}",
            f"training.batch_size={rng.choice([16, 32, 64])}",
            f"model.width={rng.choice([16, 32, 64])}",
            f"model.depth={rng.integers(1, 4)}",
        )
        for _ in range(count)
    ]


@cache
def split(spec: TrialSpec, number: int) -> tuple[Dataset, Array, Array]:
    """Return split `number`, and the inputs and targets of its test rows, scaled as its own."""
    rows, root_seed = loading.rows(spec), loading.root_seed(spec)
    train, val = splits.parts(spec.data, rows, root_seed, seeds.replicate_seed(spec.seed, "data", number), 0)
    judged = np.concatenate([val, splits.test_part(spec.data, rows, root_seed)])
    x_train, x_judged = scaled(rows.x, train, judged, spec.data.normalise, REFUSE)
    if isinstance(spec.data, Regression):
        y_train, y_judged = scaled(rows.y, train, judged, spec.data.normalise_target, REFUSE)
        outputs = y_train.shape[1]
    else:
        y_train, y_judged, outputs = rows.y[train], rows.y[judged], len(rows.target_names)
    end = len(val)
    return Dataset(x_train, y_train, x_judged[:end], y_judged[:end], outputs), x_judged[end:], y_judged[end:]


def losses(setting: Sequence[str], split_numbers: Sequence[int]) -> tuple[Array, Array]:
    """Train one replicate per split number, and return the losses on the validation rows and on the test rows, [R] each."""
    vary = "[init,order,data]" if len(set(split_numbers)) > 1 else "[init,order]"
    spec = study.compose(
        [*setting, TEST, f"replicates.count={len(split_numbers)}", f"replicates.vary={vary}", "training.leg_epochs=50"]
    )
    of_data = study.compose([setting[0], TEST])  # without the other settings, so that all of them share the arrays
    data = [split(of_data, number) for number in split_numbers]
    training = CohortTraining(spec, [dataset for dataset, _, _ in data], Clock())
    for _ in training.legs():
        pass
    weights = training.weights()
    by_replicate = []
    for network, outputs, (dataset, x_test, y_test) in zip(weights.network.unstack(), weights.predictions, data, strict=True):
        on_test = forward.layer_outputs(Network.stack([network]), x_test, spec.model)[-1]
        by_replicate.append(
            (forward.losses(outputs[None], dataset.y_val, spec.loss)[0], forward.losses(on_test, y_test, spec.loss)[0])
        )
    validation, test = np.array(by_replicate).T
    return validation, test


def table(task: str, settings: int, split_numbers: Sequence[int], more: Sequence[str] = ()) -> LossTable:
    """Train all settings; those in which a network diverged are left out. more: overrides for all of them."""
    trained = []
    for index, setting in enumerate(search_space(settings)):
        trained.append(losses((f"data={task}", *setting, *more), split_numbers))
        print(f"{task}: {index + 1} of {settings} settings", file=sys.stderr, flush=True)
    validation, test = (np.array(part) for part in zip(*trained, strict=True))
    finite = np.isfinite(validation).all(axis=1) & np.isfinite(test).all(axis=1)
    return LossTable(np.asarray(split_numbers), validation[finite], test[finite])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=int, default=28)
    parser.add_argument("--replicates", type=int, default=128)
    given = parser.parse_args()
    written = {}
    for task in ("diabetes", "friedman1"):
        for name, numbers in {"one": [0] * given.replicates, "anew": [r // 2 for r in range(given.replicates)]}.items():
            written[f"{task}_{name}"] = table(task, given.settings, numbers).validation.astype(np.float32)
    np.savez_compressed(TABLE, **written)


if __name__ == "__main__":
    main()
