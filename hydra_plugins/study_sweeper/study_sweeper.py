"""`hydra/sweeper: study`: an Optuna study as a Hydra multirun. Hydra imports this at every start, so it stays thin."""

# No `from __future__ import annotations`: Hydra runs this file before it is in sys.modules, where dataclasses look annotations up.
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class StudySweeperConf:
    """Settings under `hydra.sweeper`; the sampler and the pruner are config groups of their own."""

    _target_: str = "hydra_plugins.study_sweeper.study_sweeper.StudySweeper"
    # loss, spread, size, time, or a score (r2, mae; accuracy, auc); several in a list give a Pareto front; null: the loss, or r2 or
    # accuracy where the trials' losses can't be compared
    objective: Any = None
    # minimize or maximize, a list for several; null: whichever is better
    direction: Any = None
    # the total, over all launches of the same study; null: every setting of a finite space, else 24
    n_trials: int | None = None
    n_jobs: int = 1
    # ends the study when more than this share of n_trials has failed
    max_failure_rate: float = 0.5
    # train the trials that may be the best once more, each with so many fresh replicates; null: don't
    finalists: int | None = None
    # true: only tell what the study would train, and what that would take; the flag --dry-run sets it
    dry_run: bool = False
    # null: named after the data and what is searched, so that the same command resumes
    study_name: str | None = None
    # null: sqlite:///optuna.db in the working directory
    storage: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    # the space when neither `params` nor the command line has anything to search
    default_params: dict[str, Any] = field(default_factory=dict)


ConfigStore.instance().store(group="hydra/sweeper", name="study", node=StudySweeperConf, provider="study_sweeper")


class StudySweeper(Sweeper):
    """Asks the study for trials, runs them through the configured launcher, and tells their results."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from study.runner.launching import run_study

        return run_study(self, self.settings, arguments)
