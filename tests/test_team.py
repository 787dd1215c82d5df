"""Several machines' worth of servers: Optuna on a real PostgreSQL, and a real MLflow server on another of its databases."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState

from study import processes
from study.search import attributes
from study.search.records import OWNER, RESULT
from study.search.storage import GRACE_SECONDS
from study.tracking import artifacts, spool
from tests import servers

pytestmark = [
    pytest.mark.fault,
    # their clients leave pooled connections to the collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TINY = ["data=noise", "model.units=[4]", "training.epochs=3", "replicates.count=2"]
EPOCHS, REPLICATES = 3, 2


@dataclass(frozen=True)
class Team:
    """The servers, and where the commands run."""

    studies: str
    server: servers.Mlflow
    folder: Path

    def command(self, *arguments: str, uri: str | None = None, **environment: str) -> subprocess.Popen[str]:
        places = [f"hydra.sweeper.storage={self.studies}", f"tracking.uri={uri or self.server.url}"]
        return subprocess.Popen(
            [sys.executable, "-m", "study", *arguments, *(places if "--multirun" in arguments else places[1:])],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0, **more: str) -> str:
        process = self.command(*arguments, **more)
        said = process.communicate()[0]
        assert process.returncode == code, said
        return said

    @property
    def optuna(self) -> str:
        """The studies' database as Optuna takes it."""
        return self.studies.replace("postgresql:", "postgresql+psycopg2:")

    def runs(self, study: str, kind: str) -> list[Run]:
        client = MlflowClient(self.server.url)
        experiment = client.get_experiment_by_name(study)
        query = f"tags.`mlp_study.kind` = '{kind}'"
        return client.search_runs([experiment.experiment_id], query, order_by=["attributes.run_name"]) if experiment else []

    def spool(self) -> list[Path]:
        return list((self.folder / ".mlp-study" / "spool").iterdir())

    def verify(self, study: str, trials: int) -> None:
        """Nothing lost, and nothing twice."""
        stored = optuna.load_study(study_name=study, storage=self.optuna).trials
        counted = [trial for trial in stored if trial.state == TrialState.COMPLETE]
        assert len(counted) == trials and len({tuple(trial.params.values()) for trial in counted}) == trials
        assert all(trial.state.is_finished() for trial in stored)

        client = MlflowClient(self.server.url)
        found = {kind: self.runs(study, kind) for kind in ("trial", "replicate", "study")}
        assert not [run.info.run_id for runs in found.values() for run in runs if run.info.status == "RUNNING"]
        assert len(found["study"]) == 1
        whole = {kind: [run for run in runs if run.info.status == "FINISHED"] for kind, runs in found.items()}
        names = [f"trial {trial.number}" for trial in counted]
        assert sorted(run.info.run_name for run in whole["trial"]) == sorted(names)
        assert sorted(run.info.run_name for run in whole["replicate"]) == sorted(
            f"{n}/{r}" for n in names for r in range(REPLICATES)
        )
        for run in whole["replicate"]:
            for key in ("train_loss", "val_loss"):
                assert [point.step for point in client.get_metric_history(run.info.run_id, key)] == list(range(1, EPOCHS + 1))
        for run in whole["trial"]:
            artifacts.check(Path(client.download_artifacts(run.info.run_id, "")))
        assert self.spool() == []


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with servers.postgres() as database, pytest.MonkeyPatch.context() as patch:
        for name, value in database.environment.items():
            patch.setenv(name, value)
        studies, records = database.create("studies"), database.create("mlflow")
        with servers.mlflow(records, tmp_path_factory.mktemp("server"), database.environment) as server:
            yield Team(studies, server, tmp_path_factory.mktemp("driver"))


def search(name: str, trials: int) -> list[str]:
    rates = ",".join(str(0.001 * (number + 1)) for number in range(trials))
    return ["--multirun", f"optimizer.learning_rate={rates}", f"hydra.sweeper.study_name={name}", *TINY]


def wait_for(team: Team, study: str, finished: int, process: subprocess.Popen[str]) -> None:
    """Until so many trials are on the server."""
    while sum(run.info.status == "FINISHED" for run in team.runs(study, "trial")) < finished:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def test_a_study_runs_on_servers_alone_and_is_shown_from_elsewhere(team: Team, tmp_path: Path) -> None:
    team.run(*search("team", 3))
    team.verify("team", 3)
    elsewhere = Team(team.studies, team.server, tmp_path)
    show = [sys.executable, "-m", "study", "show", "team", "--storage", team.studies, "--json"]
    shown = json.loads(subprocess.run(show, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert [trial["state"] for trial in shown["trials"]] == ["complete"] * 3
    trial = elsewhere.runs("team", "trial")[0].info.run_id
    assert {each["run_id"] for each in shown["trials"]} == {run.info.run_id for run in elsewhere.runs("team", "trial")}
    compare = [sys.executable, "-m", "study", "compare", trial, "--tracking-uri", team.server.url, "--json"]
    compared = json.loads(subprocess.run(compare, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert [network["name"] for network in compared["networks"]] == ["trial 0/0", "trial 0/1"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_processes_on_a_fresh_database_both_succeed(team: Team) -> None:
    """A study's name isn't theirs alone, and neither are the tables that the first to come makes."""
    drivers = [team.command(*search("shared", 4)) for _ in range(2)]
    said = [driver.communicate()[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], said
    team.verify("shared", 4)


@pytest.mark.slow
def test_workers_in_processes_of_their_own(team: Team) -> None:
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2"]
    team.run(*search("joblib", 4), *launcher)
    team.verify("joblib", 4)


def stop_at_work(team: Team, study: str, driver: subprocess.Popen[str], held: int = 0) -> FrozenTrial:
    """Holds a driver that has a trial in work, which it returns, and not the lock that others need to go on.

    A trial whose record is whole would be adopted. held: how many drivers are held already, each with a record that isn't.
    """
    wait_for(team, study, 1, driver)
    stored = optuna.load_study(study_name=study, storage=team.optuna)
    engine = sqlalchemy.create_engine(team.optuna)
    locks = sqlalchemy.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    try:
        while driver.poll() is None:
            driver.send_signal(signal.SIGSTOP)
            with engine.connect() as connection:
                free = not connection.execute(locks).scalar()
            unfinished = [each for each in team.spool() if not (each.name.startswith(spool.GONE) or (each / spool.RECORD).exists())]
            for trial in stored.get_trials(states=(TrialState.RUNNING,)):
                if not free or len(unfinished) <= held:
                    continue
                if f":{driver.pid}:" in attributes.of_trial(trial, OWNER) and attributes.of_trial(trial, RESULT) is None:
                    return trial
            driver.send_signal(signal.SIGCONT)
            time.sleep(0.05)
    finally:
        engine.dispose()
    pytest.fail(driver.communicate()[0])


def kill(driver: subprocess.Popen[str]) -> None:
    driver.kill()
    driver.communicate()


def test_a_running_driver_takes_over_what_a_killed_one_has_left(team: Team) -> None:
    killed = team.command(*search("left", 12))
    trial = stop_at_work(team, "left", killed)
    other = team.command(*search("left", 12))
    stop_at_work(team, "left", other, held=1)
    kill(killed)
    other.send_signal(signal.SIGCONT)
    said = other.communicate()[0]
    assert other.returncode == 0, said
    team.verify("left", 12)
    ended = optuna.load_study(study_name="left", storage=team.optuna).trials[trial.number]
    assert ended.state == TrialState.FAIL and ended.user_attrs["reason"] == processes.ABANDONED


@pytest.mark.slow
def test_a_trial_from_another_machine_is_taken_over_once_its_driver_is_silent(team: Team) -> None:
    driver = team.command(*search("silent", 4))
    trial = stop_at_work(team, "silent", driver)
    kill(driver)
    stored = optuna.load_study(study_name="silent", storage=team.optuna)
    attributes.keep_with_trial(stored, trial._trial_id, OWNER, "elsewhere:1:1")
    team.run(*search("silent", 4))
    states = [each.state for each in stored.get_trials()]
    assert states.count(TrialState.COMPLETE) == 3 and states[trial.number] == TrialState.RUNNING

    engine = sqlalchemy.create_engine(team.optuna)
    with engine.begin() as connection:
        older = f"heartbeat - interval '{GRACE_SECONDS + 1} seconds'"
        connection.execute(sqlalchemy.text(f"UPDATE trial_heartbeats SET heartbeat = {older}"))
    engine.dispose()
    team.run(*search("silent", 4))
    team.verify("silent", 4)


def test_the_tracking_server_is_killed_and_comes_back(team: Team) -> None:
    process = team.command(*search("killed", 8))
    for finished in (1, 4):
        wait_for(team, "killed", finished, process)
        team.server.kill()
        team.server.start()
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert "waiting for it" in said
    team.verify("killed", 8)


@pytest.mark.slow
def test_what_the_tracking_server_missed_is_sent_by_the_next_launch(team: Team) -> None:
    process = team.command(*search("missed", 6), MLFLOW_HTTP_REQUEST_MAX_RETRIES="1")
    wait_for(team, "missed", 2, process)
    team.server.kill()
    said = process.communicate()[0]
    assert process.returncode == 3, said
    assert team.spool()
    team.server.start()
    team.run(*search("missed", 6))
    team.verify("missed", 6)


class Forgetful(BaseHTTPRequestHandler):
    """Passes requests on to the real server; of each run that is made, the first answer gets lost on the way back."""

    port: int
    lost: list[bytes]

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        headers = {key: value for key, value in self.headers.items() if key != "Host"}
        connection.request(self.command, self.path, body, {**headers, "Host": f"127.0.0.1:{self.port}"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        # the start time is the same when a request is sent again
        if self.path.endswith("runs/create") and body not in self.lost:
            self.lost.append(body)
            self.close_connection = True
            return
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, *_: object) -> None: ...


def test_a_run_that_was_made_though_its_answer_got_lost_is_kept_once(team: Team) -> None:
    handler = type("Handler", (Forgetful,), {"port": team.server.port, "lost": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        team.run(*search("lost", 2), uri=f"http://127.0.0.1:{proxy.server_port}")
        proxy.shutdown()
    assert len(handler.lost) == 2 * (1 + REPLICATES) + 1  # and the study's own run
    team.verify("lost", 2)
