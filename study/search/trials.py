"""Ends a study's trials: by the process that asked for them, or by the next one if that is gone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

import numpy as np
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from study import processes
from study.records.outcome import Failed, Summary, TrialResult
from study.records.trial import Asked, TrialRecord
from study.search import attributes
from study.search import storage as storages
from study.search.mirror import latest
from study.search.records import (
    ATTEMPT,
    INTERRUPTED,
    LOST,
    RESULT,
    RULES,
    STATES_BY_NAME,
    WHOLE,
    WINNER,
    front_of,
    raced_of,
    records_of,
    round_name,
    uncounted,
)
from study.search.stored import at_work, contents, elsewhere, keep, keep_result, kept_of, load, silent_trials
from study.statistics.objectives import Objective
from study.statistics.race import Rules

# a trial whose process keeps dying is the most likely cause
MOST_ATTEMPTS = 5


class Trials:
    """The trials of an existing study. objectives: the study's."""

    def __init__(self, storage: str, name: str, objectives: Sequence[Objective]) -> None:
        self.name, self.storage, self.objectives = name, storage, tuple(objectives)
        with storages.errors(storage):
            self._study = load(storage, name)
        self._in_work: dict[int, int] = {}

    def _trials(self) -> list[FrozenTrial]:
        with storages.errors(self.storage):
            return self._study.get_trials(deepcopy=False)

    def reap(self, *, unknown: bool = False) -> None:
        """End the trials in work of processes that are gone: as their jobs left them if these were done, else to be made again.

        unknown: those too of other machines' processes of which nothing is known.
        """
        trials = [trial for trial in self._trials() if trial.state == TrialState.RUNNING and trial.number not in self._in_work]
        with storages.errors(self.storage):
            silent = silent_trials(self._study) if trials else set()
        for trial in trials:
            if at_work(trial, silent) and not (unknown and elsewhere(trial)):
                continue
            tried = attributes.of_trial(trial, ATTEMPT, 1)
            given_up = f"its process ended in each of {MOST_ATTEMPTS} attempts" if tried >= MOST_ATTEMPTS else processes.ABANDONED
            self._settle(trial, given_up)

    def adopt(self, number: int, result: TrialResult, written: float) -> None:
        """Keep a result that a job had recorded, at that time, and not yet kept when it was killed."""
        for trial in self._trials():
            started = trial.datetime_start.timestamp() if trial.datetime_start else math.inf
            if trial.number == number and trial.state == TrialState.RUNNING and started < written:
                keep(self.storage, self.name, number, result)

    def adopt_whole(self, number: int, result: TrialResult, written: float) -> None:
        """Keep all replicates of a trial that a job had recorded, and its driver not yet kept when it was killed."""
        own = next((record.summary for record in self.records() if record.number == number and record.summary), None)
        # an older study of this name may have left it
        if own and result.summary and result.summary.val_losses[: len(own.val_losses)] == own.val_losses:
            self.tell_whole(number, result)

    def stop(self) -> None:
        """End the trials that this process has in work: as their jobs left them if these were done, else as interrupted."""
        for trial_id in self._in_work.values():
            with storages.errors(self.storage):
                trial = self._study._storage.get_trial(trial_id)
            if not trial.state.is_finished():
                self._settle(trial, INTERRUPTED)
        self._in_work.clear()

    def _settle(self, trial: FrozenTrial, otherwise: str) -> None:
        """End a trial as its job left it, or as failed for this reason if the job wasn't done."""
        if kept := attributes.of_trial(trial, RESULT):
            summary = Summary.of_plain(kept["summary"]) if "summary" in kept else None
            self._complete(trial._trial_id, STATES_BY_NAME[kept["state"]], summary)
        else:
            self._fail(trial._trial_id, otherwise)

    def tell(self, number: int, result: TrialResult) -> None:
        """End a trial whose job has kept its result (`keep`).

        A trial with a value that isn't finite never ends as complete: it would be the best.
        """
        self._complete(self._in_work[number], STATES_BY_NAME[result.outcome.state], result.summary)
        del self._in_work[number]

    def tell_failed(self, number: int, reason: str) -> None:
        """End a trial whose job has kept nothing."""
        self._fail(self._in_work[number], reason)
        del self._in_work[number]

    def again(self, asked: Asked, reason: str) -> bool:
        """End an attempt that was lost, to be made once more; return False if it was the second."""
        if asked.attempt > 1:
            return False
        self.tell_failed(asked.number, LOST + reason)
        return True

    def _fail(self, trial: int, reason: str) -> None:
        with storages.errors(self.storage), suppress(UpdateFinishedTrialError):
            keep_result(self._study, trial, TrialResult(Failed(reason)))
        self._end(trial, TrialState.FAIL)

    def _complete(self, trial: int, state: TrialState, summary: Summary | None) -> None:
        """End a trial as its job left it."""
        values = [objective.value(summary) for objective in self.objectives] if summary else None
        if values is not None and not np.isfinite(values).all():
            bad = [objective.name for objective, value in zip(self.objectives, values, strict=True) if not np.isfinite(value)]
            self._fail(trial, f"no finite {', '.join(bad)}")
            return
        if state == TrialState.PRUNED and len(self.objectives) == 1:
            reported = self._study._storage.get_trial(trial).intermediate_values
            values = [reported[max(reported)]] if reported else None
        self._end(trial, state, values)

    def _end(self, trial: int, state: TrialState, values: Sequence[float] | None = None) -> None:
        with (
            storages.errors(self.storage),
            suppress(UpdateFinishedTrialError),
        ):  # another driver took this one for dead, and ended it
            self._study._storage.set_trial_state_values(trial, state, values)

    def records(self) -> list[TrialRecord]:
        """Return the records of all trials, without the attempts that were made again."""
        with storages.errors(self.storage):
            return records_of(contents(self._study))

    def elsewhere(self) -> dict[int, str]:
        """Return the trials of other machines of which nobody knows whether they are still in work, with the machines' names."""
        return {trial.number: host for trial in latest(self._trials()) if (host := elsewhere(trial))}

    def failures(self) -> int:
        return sum(trial.state == TrialState.FAIL and not uncounted(trial) for trial in latest(self._trials()))

    def interrupted(self) -> dict[int, float]:
        """Return the attempts that don't count, number → start in seconds since 1970: none of their runs may look finished."""
        return {
            trial.number: trial.datetime_start.timestamp()
            for trial in self._trials()
            if uncounted(trial) and trial.datetime_start is not None
        }

    def front(self) -> list[int]:
        """Return the numbers of the trials that no other beats in all of several objectives; none for one objective."""
        with storages.errors(self.storage):
            return front_of(contents(self._study))

    def open_race(self, rules: Rules) -> None:
        """Keep the rules of the race that decides the study."""
        with storages.errors(self.storage):
            attributes.keep_with_study(self._study, RULES, asdict(rules))

    def tell_winner(self, number: int) -> None:
        """Keep the winner of the race, or the trial that leads at its end."""
        with storages.errors(self.storage):
            attributes.keep_with_study(self._study, WINNER, number)

    def tell_round(self, number: int, first: int, result: TrialResult) -> None:
        """Keep the later replicates of a trial, from number `first` on. Another driver's are the same."""
        with storages.errors(self.storage):
            attributes.keep_with_study(self._study, round_name(number, first), kept_of(result))

    def tell_whole(self, number: int, result: TrialResult) -> None:
        """Keep all replicates of a trial, trained together and recorded in a run of their own; another driver's first ones stay."""
        assert result.summary is not None
        with storages.errors(self.storage), storages.claim(self.storage, self._study._study_id):
            if self.wholes().get(number) is None or not self.is_whole(number, len(result.summary.val_losses)):
                attributes.keep_with_study(self._study, f"{WHOLE}{number}", kept_of(result))

    def is_whole(self, number: int, count: int) -> bool:
        """Return True if so many replicates of a trial, or more, have been trained together."""
        with storages.errors(self.storage):
            whole = attributes.of_study(self._study).get(f"{WHOLE}{number}", {})
        return len(whole.get("summary", {}).get("val_losses", ())) >= count

    def wholes(self) -> dict[int, str | None]:
        """Return the trials all of whose replicates have been trained together, number → the run that holds them, if known."""
        with storages.errors(self.storage):
            kept = attributes.of_study(self._study)
        return {int(key.removeprefix(WHOLE)): whole["run_id"] for key, whole in kept.items() if key.startswith(WHOLE)}

    def raced(self) -> list[tuple[str | None, TrialRecord]]:
        """Return the trials with later replicates, each with the run of its first ones, if that is known."""
        with storages.errors(self.storage):
            return raced_of(contents(self._study))

    def busy(self) -> bool:
        """Return True while another driver that gives signs of life has a trial in work."""
        trials = [trial for trial in latest(self._trials()) if trial.state == TrialState.RUNNING and not elsewhere(trial)]
        with storages.errors(self.storage):
            silent = silent_trials(self._study) if trials else set()
        return any(at_work(trial, silent) for trial in trials)
