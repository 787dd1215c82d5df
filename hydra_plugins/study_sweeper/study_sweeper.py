"""Run an Optuna study as a Hydra multirun (`hydra/sweeper: study`). Hydra imports this at every start, so it stays thin."""

# No `from __future__ import annotations`: Hydra runs this file before it is in sys.modules, where dataclasses look annotations up.
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, StringNode, open_dict


@dataclass
class StudySweeperConf:
    """Settings under `hydra.sweeper`; the sampler and the pruner are config groups of their own."""

    _target_: str = "hydra_plugins.study_sweeper.study_sweeper.StudySweeper"
    # loss, spread, size, time, or a score, such as rmse or balanced_accuracy (see data.md); a list gives a Pareto front; null: the
    # loss, or r2 or accuracy if the trials' losses aren't comparable
    objective: Any = None
    # minimize or maximize, a list for several objectives; null: the better direction of each objective
    direction: Any = None
    # the total over all launches of the study; null: every setting of a finite space, otherwise 24
    n_trials: int | None = None
    # stop asking for trials, and for replicates in the race, after this many minutes of a launch; null: no limit
    minutes: float | None = None
    n_jobs: int = 1
    # settings to try first, after the default one: a list of mappings of searched settings; a missing one has its default
    try_: Any = None
    # a study of this storage, whose best settings are tried first, and whose trials the sampler learns from if they are comparable
    from_: str | None = None
    # the study stops when more than this share of n_trials has failed
    max_failure_rate: float = 0.5
    # true: train more replicates of the trials that may be the best until that is decided; null: unless replicates are set, or
    # trials can't be compared replicate by replicate
    decide: bool | None = None
    # the difference that doesn't matter, in SDs of a setting's loss over seeds
    margin: float = 1.0
    # the probability that the winner is the best within the margin
    confidence: float = 0.98
    # the most replicates of a setting
    max_replicates: int = 64
    # the most networks of the race; null: no limit
    networks: int | None = None
    # fit baselines to the rows that the winner is trained on, and judge them beside it on the test part
    baselines: bool = True
    # train the winner's replicates on, without early stopping, until weights and functions rest: does training converge?
    settle: bool = True
    # earlier versions retrained the best trials with so many replicates, which a race does now
    finalists: int | None = None
    # true: only show what the study would train, how long it will take and how much disk it needs; the flag --dry-run sets it
    dry_run: bool = False
    # null: a name derived from the data and the settings, so that the same command resumes
    study_name: str | None = None
    # null: sqlite:///optuna.db in the working directory
    storage: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    # the space to search if neither `params` nor the command line gives one
    default_params: dict[str, Any] = field(default_factory=dict)


def _named() -> DictConfig:
    """Return the settings under their names, of which two are keywords of Python."""
    settings = OmegaConf.structured(StudySweeperConf)
    with open_dict(settings):
        settings["try"] = settings.pop("try_")
        settings["from"] = StringNode(settings.pop("from_"))
    return settings


ConfigStore.instance().store(group="hydra/sweeper", name="study", node=_named(), provider="study_sweeper")


class StudySweeper(Sweeper):
    """Asks the study for trials, runs them with the configured launcher, and reports their results."""

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
