"""Makes samplers and pruners by name, and checks that they fit a study."""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from study.errors import BadInput, Fault
from study.search import space as spaces
from study.search.space import Choice, Domain, Interval, Space
from study.settings.rules import nearest
from study.statistics.objectives import LOSS, ROWS, Objective

# the key of each replicate's loss by epoch, which a trial keeps for the Wilcoxon pruner
LOSSES = "losses"
P_THRESHOLD = 0.05


class QMCSampler(optuna.samplers.QMCSampler):
    """Optuna's sampler, with a trial's place in the study as its place in the sequence, from the first trial on, for all settings.

    Optuna's own counts in the storage, where an interrupted trial would leave a gap, and draws the first trial at random.
    """

    space: Mapping[str, BaseDistribution] = {}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return dict(self.space)

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:
        return len(study.get_trials(deepcopy=False)) - 1


class NSGAIISampler(optuna.samplers.NSGAIISampler):
    """Optuna's sampler, with parents always in the order of their trials, which Optuna's own loses when it reads its notes."""

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        return sorted(super().get_parent_population(study, generation), key=lambda trial: trial.number)


class WilcoxonPruner(BasePruner):
    """Stops a trial whose replicates are worse than the best trial's at the same epoch, by a paired test over the replicates.

    Optuna's own treats all steps of a trial as independent instances. Here the steps are epochs, and the replicates are instances:
    replicate r of every trial has the same seeds. p_threshold: of the one-sided Wilcoxon signed-rank test;
    n_warmup_steps: epochs before which nothing is stopped.
    """

    def __init__(self, *, p_threshold: float = P_THRESHOLD, n_warmup_steps: int = 0) -> None:
        if not 0 < p_threshold < 1:
            raise ValueError(f"p_threshold is between 0 and 1, not {p_threshold}")
        if n_warmup_steps < 0:
            raise ValueError(f"n_warmup_steps is 0 or more, not {n_warmup_steps}")
        self.p_threshold, self._n_warmup_steps = p_threshold, n_warmup_steps

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        epoch = trial.last_step
        if epoch is None or epoch < self._n_warmup_steps or not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            return False
        mine, best = (compared.user_attrs.get(LOSSES, {}).get(str(epoch)) for compared in (trial, study.best_trial))
        if mine is None or best is None or len(mine) != len(best) or len(mine) < 2:
            return False
        worse = np.subtract(mine, best) * Objective(direction=study.direction.name.lower()).sign
        if not np.isfinite(worse).all() or not worse.any():
            return False
        from scipy import stats  # takes half a second to load

        return bool(
            worse.mean() > 0 and stats.wilcoxon(worse, alternative="greater", zero_method="zsplit").pvalue < self.p_threshold
        )


def _patient(wrapped: Mapping[str, Any] | None = None, *, patience: int = 5, min_delta: float = 0.0) -> BasePruner:
    inner = make_pruner(wrapped) if wrapped else None
    return optuna.pruners.PatientPruner(inner, patience, min_delta)


SAMPLERS: dict[str, Callable[..., BaseSampler]] = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
    "grid": optuna.samplers.RandomSampler,  # never asked: see `Search`, which goes through the settings one by one
    "qmc": QMCSampler,
    "cmaes": optuna.samplers.CmaEsSampler,
    "nsgaii": NSGAIISampler,
    "gp": optuna.samplers.GPSampler,
}
PRUNERS: dict[str, Callable[..., BasePruner]] = {
    "none": optuna.pruners.NopPruner,
    "median": optuna.pruners.MedianPruner,
    "percentile": optuna.pruners.PercentilePruner,
    "successive_halving": optuna.pruners.SuccessiveHalvingPruner,
    "hyperband": optuna.pruners.HyperbandPruner,
    "patient": _patient,
    "threshold": optuna.pruners.ThresholdPruner,
    "wilcoxon": WilcoxonPruner,
}
# samplers whose seed is the study's for every trial
OF_STUDY = ("qmc",)
# the packages that samplers need beside Optuna, and the extras that install them
NEEDS = {"cmaes": ("cmaes", "cmaes"), "gp": ("torch", "gp")}


def make_sampler(settings: Mapping[str, Any], space: Space, seed: int) -> BaseSampler:
    """Return the sampler for one trial. Raises BadInput for settings that it doesn't take."""
    kind, more = settings.get("name"), {}
    conditional = any(domain.when for domain in space.values())
    if kind == "tpe":
        # settings that occur together are modelled together
        more = {"group": True} if conditional else {}
    if kind in ("cmaes", "gp"):
        # they draw categories and conditional settings at random, as docs/reference.md says
        more = {"warn_independent_sampling": False}
    sampler: BaseSampler = _make(SAMPLERS, "sampler", more | dict(settings), seed=seed)
    if isinstance(sampler, QMCSampler):
        sampler.space = {key: distribution(domain) for key, domain in space.items()}
    return sampler


def make_pruner(settings: Mapping[str, Any]) -> BasePruner:
    made: BasePruner = _make(PRUNERS, "pruner", settings)
    return made


def check(
    sampler: Mapping[str, Any],
    pruner: Mapping[str, Any],
    space: Space,
    objectives: Sequence[Objective],
    replicates: int,
    unlike: Sequence[str] = (),
) -> None:
    """Check that the sampler and the pruner can be made from their settings, and fit the study. Raises BadInput.

    replicates: how many a trial has; unlike: the parts of their judgement by the loss in which trials differ (`Objective.unlike`).
    """
    faults: list[Fault] = []
    for make in (lambda: make_sampler(sampler, space, 0), lambda: make_pruner(pruner)):
        try:
            make()
        except BadInput as bad:
            faults += bad.faults
    kind, names = sampler.get("name"), ", ".join(objective.name for objective in objectives)
    if kind == "grid" and spaces.size(space) is None:
        endless = ", ".join(
            key for key, domain in space.items() if isinstance(domain, Interval) and not (domain.whole or domain.step)
        )
        faults.append(Fault("sampler", f"grid with {endless}", "settings with values or steps: x=1,2,3 or x=range(0,1,0.25)"))
    if kind == "cmaes":
        if len(objectives) > 1:
            faults.append(Fault("sampler", f"cmaes with objectives {names}", "tpe, nsgaii, gp, qmc, random, grid"))
        if sum(isinstance(domain, Interval) and not domain.when for domain in space.values()) < 2:
            faults.append(Fault("sampler", "cmaes", "a space with at least two intervals without conditions"))
    if pruner.get("name") != "none" and unlike:
        why = "are judged on different rows" if ROWS in unlike else "have no loss in common"
        faults.append(Fault("pruner", pruner.get("name"), f"none: pruners compare losses, and the trials {why}"))
    elif pruner.get("name") != "none" and [objective.name for objective in objectives] != [LOSS]:
        faults.append(Fault("pruner", f"{pruner.get('name')} with objective {names}", "objective=loss: pruners judge by the loss"))
    if pruner.get("name") == "wilcoxon" and not faults:
        needed = math.floor(-math.log2(pruner.get("p_threshold", P_THRESHOLD))) + 1
        if replicates < needed:  # were all worse, the test would give 2 to the minus of their number
            faults.append(
                Fault("pruner", f"wilcoxon over {replicates} replicates", f"replicates.count={needed} or more, or another pruner")
            )
    if faults:
        raise BadInput(faults)


def _make(registry: Mapping[str, Callable[..., Any]], section: str, settings: Mapping[str, Any], **more: object) -> Any:
    kind, arguments = settings.get("name"), {key: value for key, value in settings.items() if key != "name"}
    if not isinstance(kind, str) or kind not in registry:
        raise BadInput([Fault(section, kind, nearest(kind, registry))])
    module, extra = NEEDS.get(kind, ("", ""))
    if module and importlib.util.find_spec(module) is None:
        raise BadInput([Fault(section, kind, f"pip install 'mlp-study[{extra}]' first: it needs the package {module}")])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return registry[kind](**arguments, **more)
    except (TypeError, ValueError) as error:
        raise BadInput([Fault(section, arguments, f"settings that Optuna's {kind} takes: {error}")]) from error


def distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.values)
    if domain.whole:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=int(domain.step or 1))
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
