"""A real PostgreSQL and a real MLflow server for a test, on free loopback ports and in folders of their own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

USER, PASSWORD = "study", "made-up-for-tests"
DEBIAN = Path("/usr/lib/postgresql")


def free_port() -> int:
    with closing(socket.socket()) as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


@dataclass(frozen=True)
class Postgres:
    """A running server. Its superuser's password is in `environment`, and in no URL."""

    port: int

    @property
    def environment(self) -> dict[str, str]:
        return {"PGPASSWORD": PASSWORD}

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Makes a database and returns its URL."""
        with closing(psycopg2.connect(self.url("postgres"), password=PASSWORD)) as connection:
            connection.autocommit = True  # CREATE DATABASE can't be in a transaction
            connection.cursor().execute(f'CREATE DATABASE "{database}"')
        return self.url(database)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Starts PostgreSQL, and ends it with the block. Skips the test where it isn't installed."""
    initdb, server = _program("initdb"), _program("postgres")
    # it refuses to run as root
    owner = pwd.getpwnam("postgres" if _is_user("postgres") else "nobody") if os.getuid() == 0 else None
    account = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if owner:
            for path in (folder, secret):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        made = [initdb, "-D", folder / "data", "-U", USER, "--pwfile", secret, "--auth", "scram-sha-256", "-E", "UTF8", "-N"]
        subprocess.run([*map(str, made), "--locale", "C"], check=True, capture_output=True, cwd=folder, **account)
        port = free_port()
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "shared_buffers": "32MB"}
        command = [server, "-D", str(folder / "data"), "-p", str(port)]
        command += [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **account)
        try:
            _wait_for(process, lambda: psycopg2.connect(Postgres(port).url("postgres"), password=PASSWORD).close(), folder / "log")
            yield Postgres(port)
        finally:
            process.send_signal(signal.SIGQUIT)  # at once, and without leaving children or shared memory behind
            process.wait(30)
    finally:
        shutil.rmtree(folder)


class Mlflow:
    """An MLflow server with one worker on a database, which can be killed and started again at the same address."""

    def __init__(self, database: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder, self._environment = folder, environment
        # SQLAlchemy 2.1 takes another driver for a URL that names none
        backend = database.replace("postgresql:", "postgresql+psycopg2:")
        self._command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", backend, "--workers", "1"]
        self._command += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(self.port)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        environment = {**os.environ, **self._environment, **settings}
        with (self._folder / "server.log").open("a") as log:
            # a group of its own, so that its workers can be ended with it
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=environment, cwd=self._folder, start_new_session=True
            )
        if wait:
            self.wait()

    def wait(self) -> None:
        assert self._process
        _wait_for(
            self._process, lambda: urllib.request.urlopen(f"{self.url}/health", timeout=5).close(), self._folder / "server.log"
        )

    def kill(self) -> None:
        """At once, as a power cut would."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextmanager
def mlflow(database: str, folder: Path, environment: Mapping[str, str]) -> Iterator[Mlflow]:
    """Starts an MLflow server with its artifacts in `folder`, and ends it with the block."""
    server = Mlflow(database, folder, environment)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _wait_for(process: subprocess.Popen[bytes], attempt: Callable[[], None], log: Path, seconds: float = 120) -> None:
    """Until `attempt` succeeds. Fails with the server's log if that takes too long or the server ends."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            attempt()
            return
        except (OSError, psycopg2.OperationalError):
            time.sleep(0.1)
    pytest.fail(f"no answer from {process.args}:\n{log.read_text()[-3000:]}")


def _is_user(name: str) -> bool:
    return name in {each.pw_name for each in pwd.getpwall()}


def _program(name: str) -> str:
    """PostgreSQL's program of this name; Debian keeps those of the server off the path."""
    found = shutil.which(name) or next(map(str, sorted(DEBIAN.glob(f"*/bin/{name}"), reverse=True)), None)
    if not found:
        pytest.skip(f"PostgreSQL's {name} isn't installed")
    return found
