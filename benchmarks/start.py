"""What a start costs: commands that train nothing, and input that is refused, in turns, each in a fresh process; user CPU seconds.

Beside `import tensorflow`, which is the ruler on a busy machine or another one, and Optuna's own reading of 2,000 trials.
"""

from __future__ import annotations

import argparse
import copy
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import optuna

from study import sqlite
from study.search import attributes, reading
from study.search.mirror import PLACE

PROGRAM = [sys.executable, "-m", "study"]
RULER = [sys.executable, "-c", "import tensorflow"]
STUDY = ["--multirun", "optimizer.learning_rate=interval(0.01,0.1)", "model.units=[4]", "training.epochs=5", "replicates.count=4"]
STUDY += ["hydra.sweeper.study_name=tiny", "hydra.sweeper.n_trials=2", "hydra.sweeper.decide=false"]
LARGE, MANY = "large", 2000
OPTUNA = f"import optuna; optuna.load_study(study_name={LARGE!r}, storage='sqlite:///optuna.db').trials"
DONE, REFUSED = 0, 2
COMMANDS = [
    (["--version"], DONE),
    (["--help"], DONE),
    (["list"], DONE),
    (["show", "tiny"], DONE),
    (["show", LARGE], DONE),
    (["nope"], REFUSED),
    (["optimizer=nope"], REFUSED),
    (["training.epochs=-1"], REFUSED),
    (["data=table", "data.path=missing.csv", "data.target=y"], REFUSED),
    (["--multirun", "training.batch_size=16,-1"], REFUSED),
    (["--multirun", "optimizer.learning_rate=interval(1,0)"], REFUSED),
]


def copy_trials(url: str) -> None:
    """Add a study of MANY trials, copies of tiny's with other learning rates."""
    contents = reading.read(url, "tiny")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(study_name=LARGE, storage=url)
    for key, value in contents.attrs.items():
        attributes.keep_with_study(study, key, value)
    for number in range(MANY):
        trial = copy.deepcopy(contents.trials[number % len(contents.trials)])
        trial.params |= dict.fromkeys(trial.params, 0.01 + 0.09 * number / MANY)
        trial.system_attrs |= attributes.system({PLACE: number})
        study.add_trial(trial)


def user_seconds(command: list[str], code: int, folder: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert ended.returncode == code, f"{command} ended with {ended.returncode}:\n{ended.stderr}"
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    rows = [("import tensorflow", RULER, DONE)]
    rows += [(f"Optuna reads {MANY} trials", [sys.executable, "-c", OPTUNA], DONE)]
    rows += [(f"mlp-study {' '.join(arguments)}", [*PROGRAM, *arguments], code) for arguments, code in COMMANDS]
    measured: dict[str, list[float]] = {name: [] for name, _, _ in rows}
    with tempfile.TemporaryDirectory() as folder:
        user_seconds([*PROGRAM, *STUDY], DONE, Path(folder))
        copy_trials(sqlite.url_of(Path(folder) / "optuna.db"))
        for _ in range(turns):
            for name, command, code in rows:
                measured[name].append(user_seconds(command, code, Path(folder)))
    for name, seconds in measured.items():
        print(f"{statistics.median(seconds):6.2f}  {min(seconds):6.2f}  {max(seconds):6.2f}  {name}")


if __name__ == "__main__":
    main()
