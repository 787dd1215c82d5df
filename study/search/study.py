"""Asks a study for its next trials."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from study import processes
from study.errors import BadInput, Fault
from study.records.arrays import Scalar
from study.records.trial import Asked
from study.search import attributes
from study.search import space as spaces
from study.search import storage as storages
from study.search.beginning import Beginning
from study.search.kinds import OF_STUDY, distribution, make_sampler
from study.search.mirror import PLACE, Mirror, latest, place_of, sampled
from study.search.records import (
    ATTEMPT,
    BEGINNING,
    COMMAND,
    DRIVERS,
    IDENTITY,
    INTERRUPTED,
    LOST,
    OBJECTIVES,
    OWNER,
    SETTINGS,
    beginning_of,
    identity_texts,
    reason_of,
    uncounted,
)
from study.search.space import Space
from study.search.stored import drivers, mirror_of
from study.search.trials import Trials
from study.settings.spec import earlier
from study.settings.values import Value, as_text, as_texts
from study.statistics.objectives import Objective

DEFAULT_TRIALS = 24
QUICK = {"tpe", "random", "qmc"}  # samplers that take milliseconds
MOST_GUESSED = 200  # trials


# identities of earlier versions lack these
EARLIER = {"data.parts": "drawn from all rows, by an earlier version,"}


def check_identity(name: str, known: Mapping[str, str], identity: Mapping[str, str]) -> None:
    """Compare identities. Raises BadInput, with the difference, if the study of this name was made for another than `known`."""
    told = dict.fromkeys(identity, "nothing") | EARLIER | as_texts(earlier(identity)) | dict(known)
    before = {key: "null" if text == as_text(None) else text for key, text in told.items()}
    faults = [
        Fault(key, identity.get(key, "nothing"), f"{before[key]} in study {name!r}, or another study_name")
        for key in dict.fromkeys([*known, *identity])
        if known.get(key) != identity.get(key)
    ]
    if faults:
        raise BadInput(faults)


class Search(Trials):
    """A study that hands out trials and takes their results.

    Several processes may ask; each ends the trials that it asked for. ended: how many of all their trials had ended when this one
    asked last.
    """

    def __init__(
        self,
        *,
        name: str,
        storage: str,
        objectives: Sequence[Objective],
        space: Space,
        sampler: Mapping[str, Any],
        seed: int,
        n_trials: int | None,
        identity: Mapping[str, Value],
        command: str = "",
        beginning: Beginning | None = None,
    ) -> None:
        """Open the study, which is made if it doesn't exist.

        space: the result of `space.ordered`; identity: its fixed settings; command: the launch; beginning: of a study that doesn't
        exist. Raises BadInput if a study of this name was made for another space, objective or fixed setting.
        """
        self.space, self._sampler, self._seed = space, dict(sampler), seed
        self._distributions = {key: distribution(domain) for key, domain in space.items()}
        with storages.errors(storage):
            backend = storages.backend(storage)
        with storages.errors(storage), storages.claim(storage):
            _make(backend, name, objectives)
            super().__init__(storage, name, objectives)
            self._check_identity(identity, command, beginning or Beginning())
            kept = beginning_of(attributes.of_study(self._study))
        self.ended = 0
        self._learned, self._heart = kept.learned, storages.heart(self._study._storage)
        # a pruner's mirror lacks what other studies learned: it has no losses by epoch
        self._mirror = self._new_mirror() if kept.learned else mirror_of(storage, name)
        size = spaces.size(space)
        self.exhaustive = spaces.is_exhausted(space, n_trials, sampler["name"])
        self.n_trials = min(n_trials or size, size) if size is not None and self.exhaustive else (n_trials or DEFAULT_TRIALS)
        self.default = kept.default
        self._first = kept.settings(with_default=not self.exhaustive)

    def _new_mirror(self) -> Mirror:
        mirror = Mirror(self._study.directions)
        for params, values in self._learned:
            mirror.study.add_trial(create_trial(params=params, distributions=self._of(params), values=values))
        return mirror

    def _of(self, params: Mapping[str, Scalar]) -> dict[str, BaseDistribution]:
        return {key: self._distributions[key] for key in params}

    def _check_identity(self, settings: Mapping[str, Value], command: str, beginning: Beginning) -> None:
        known, identity = attributes.of_study(self._study).get(IDENTITY), identity_texts(settings, self.objectives, self.space)
        if known is not None:
            check_identity(self.name, known, identity)
        names = [objective.name for objective in self.objectives]
        if self._study.metric_names != names:  # earlier versions gave none
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                self._study.set_metric_names(names)
        if known is None:
            attributes.keep_with_study(self._study, OBJECTIVES, [asdict(objective) for objective in self.objectives])
            self._study.set_user_attr(COMMAND, command)
            attributes.keep_with_study(self._study, SETTINGS, dict(settings))
            attributes.keep_with_study(self._study, BEGINNING, asdict(beginning))
            # last: without it, all of this is written again
            attributes.keep_with_study(self._study, IDENTITY, identity)

    def announce(self) -> None:
        """Name this process as one that has the study open, between its trials too: nobody deletes it meanwhile."""
        with storages.errors(self.storage), storages.claim(self.storage, self._study._study_id):
            attributes.keep_with_study(self._study, DRIVERS, [*drivers(self._study), processes.owner()])

    @contextmanager
    def signs_of_life(self) -> Iterator[None]:
        """Give signs of life during the block, so that other machines know that its trials are in work."""
        heart = self._heart
        if heart is None:
            yield
            return
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(storages.HEARTBEAT_SECONDS):
                for trial in list(self._in_work.values()):
                    with suppress(Exception):  # the next beat tries again, and `tell` meets what stays wrong
                        heart.record_heartbeat(trial)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def remaining(self) -> int:
        """Return how many trials are still to be asked for."""
        return self._remaining(latest(self._trials()))

    def _remaining(self, attempts: Sequence[FrozenTrial]) -> int:
        return max(0, self.n_trials - sum(not uncounted(trial) for trial in attempts))

    def ask(self, count: int) -> list[Asked]:
        """Return the next trials, at most `count`; none if the total is reached. Those to be made again come first.

        A trial's sampler is seeded by the study's seed and the trial's place, so that a resumed study continues as it would have,
        and never repeats itself. A trial whose worker was lost runs alone, so that it can't end others again.
        """
        asked: list[Asked] = []
        with storages.errors(self.storage), storages.claim(self.storage, self._study._study_id):
            attempts = latest(self._study.get_trials(deepcopy=False))
            self.ended = sum(trial.state.is_finished() and not uncounted(trial) for trial in attempts)
            again = [trial for trial in attempts if uncounted(trial)]
            alone = [trial for trial in again if reason_of(trial).startswith(LOST)][:1]
            for _ in range(min(count, self._remaining(attempts), 1 if alone else count)):
                if again:
                    cut = (alone or again)[0]
                    again.remove(cut)
                    # a trial that the user stopped has nothing wrong with it
                    attempt = attributes.of_trial(cut, ATTEMPT) + (reason_of(cut) != INTERRUPTED)
                    asked.append(self._create(cut, place_of(cut), attempt))
                else:
                    attempts = [*attempts, self._next(attempts, self._mirror)]
                    asked.append(self._create(attempts[-1], len(attempts) - 1, 1))
        return asked

    def expected(self, count: int) -> list[Mapping[str, Scalar]]:
        """Return the settings of the next trials, at most `count`, as far as they don't depend on trials in work, or else a guess.

        A guess is made of the next trial alone, and not for samplers that take long or in long studies. Nothing is kept of it.
        """
        with storages.errors(self.storage):
            attempts = latest(self._study.get_trials(deepcopy=False))
        if len(attempts) > MOST_GUESSED or not (self.exhaustive or self._sampler["name"] in QUICK):
            return []
        scratch, known = self._new_mirror(), len(attempts)
        learns = not self.exhaustive and self._sampler["name"] == "tpe"
        certain = self._sampler.get("n_startup_trials", 10) if learns else self.n_trials
        for _ in range(min(count, self._remaining(attempts), max(1, certain - known))):
            attempts = [*attempts, self._next(attempts, scratch)]
        return [trial.params for trial in attempts[known:]]

    def _next(self, attempts: Sequence[FrozenTrial], mirror: Mirror) -> FrozenTrial:
        """Return a trial for the next place: one that is to be tried first, or the next of a grid, or a sampled one."""
        place = len(attempts)
        first = self._first[place] if place < len(self._first) else None
        if self.exhaustive:
            tried = {frozenset(trial.params.items()) for trial in attempts}
            untried = (params for params in spaces.combinations(self.space) if frozenset(params.items()) not in tried)
            params = first if first and frozenset(first.items()) not in tried else next(untried)
            return create_trial(state=TrialState.RUNNING, params=params, distributions=self._of(params))
        mirror.sync(attempts)
        # a sequence that covers the space is one of the whole study's
        own = () if self._sampler.get("name") in OF_STUDY else (place,)
        seed = np.random.SeedSequence(self._seed, spawn_key=own).generate_state(1)[0]
        trial = mirror.ask(make_sampler(self._sampler, self.space, int(seed)), first)
        given: dict[str, Scalar] = {}
        for key, domain in self.space.items():
            if spaces.active(domain, given):
                given[key] = trial._suggest(key, self._distributions[key])
        return mirror.trial(place)

    def _create(self, like: FrozenTrial, place: int, attempt: int) -> Asked:
        """Write a new trial whole: a process that is killed leaves all of it or nothing."""
        trial = sampled(like, {OWNER: processes.owner(), PLACE: place, ATTEMPT: attempt})
        stored = self._study._storage
        trial_id = stored.create_new_trial(self._study._study_id, trial)
        if self._heart:
            self._heart.record_heartbeat(trial_id)
        number = stored.get_trial(trial_id).number
        self._in_work[number] = trial_id
        return Asked(number, dict(like.params), attempt)


def _make(storage: optuna.storages.BaseStorage, name: str, objectives: Sequence[Objective]) -> None:
    optuna.create_study(
        study_name=name,
        storage=storage,
        directions=[StudyDirection[objective.direction.upper()] for objective in objectives],
        sampler=optuna.samplers.RandomSampler(),  # never asked
        load_if_exists=True,
    )
