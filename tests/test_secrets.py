"""A canary password, wherever one can be put: afterwards it is nowhere in what the command says or leaves behind."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from rich.console import Console

from study import redaction
from study.reporting import streams, terminal
from tests import servers
from tests.command import run

CANARY = "kanarienvogel"
ENCODED = "".join(f"%{ord(letter):02x}" for letter in CANARY)
SEARCH = ["--multirun", "optimizer=adam,sgd"]
URLS = [
    f"postgresql://user:{CANARY}@127.0.0.1:1/studies",
    f"postgresql+psycopg2://user:{CANARY}@127.0.0.1:1/studies",
    f"postgresql://:{CANARY}@127.0.0.1:1/studies",
    f"postgresql://127.0.0.1:1/studies?user=user&password={CANARY}",
    f"postgresql://127.0.0.1:1/studies?sslpassword={CANARY}",
    f"postgresql://127.0.0.1:1/studies?pass%77ord={CANARY}",
    f"postgresql://user%3A{CANARY}@127.0.0.1:1/studies",
    f"postgresql%3A//user:{CANARY}@127.0.0.1:1/studies",
    f"postgresql:user:{CANARY}@127.0.0.1:1/studies",
    f"postgresql://user:a@{CANARY}/b@127.0.0.1:1/studies",
    f"mysql://user:{CANARY}@127.0.0.1:1/studies",
    f"sqlite:///studies.db?password={CANARY}",
    f"http://user:{CANARY}@127.0.0.1:1",
    f"https://{CANARY}@127.0.0.1:1",
    f"http://127.0.0.1:1/?token={CANARY}",
    f"host=127.0.0.1 password={CANARY}",
]


def launch(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """The exit code and all that the command says, in a process of its own, as a user runs it."""
    command = [sys.executable, "-m", "study", *arguments]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def in_process(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """As `launch`, without starting Python anew."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.chdir(folder)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(terminal, "err", streams._Errors(file=said, width=500))
        patch.setattr(terminal, "out", Console(file=said, width=500))
        return run(*arguments), said.getvalue()


def leaks(folder: Path, said: str) -> list[str]:
    """Where the canary is, in letters, percent-encoded or in base64."""
    contents = {"output": said.encode()} | {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    forms = [CANARY.encode(), ENCODED.encode(), ENCODED.upper().encode(), base64.b64encode(CANARY.encode()).rstrip(b"=")[:-1]]
    return [place for place, content in contents.items() if any(form in content for form in forms)]


def test_the_search_for_leaks_finds_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(f"a {CANARY} sings")
    assert leaks(tmp_path, f"?{ENCODED}") == ["output", str(tmp_path / "file")]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("key", ["hydra.sweeper.storage", "tracking.uri"])
def test_a_url_with_a_password_is_refused_masked_and_leaves_nothing(tmp_path: Path, url: str, key: str) -> None:
    code, said = in_process(tmp_path, *SEARCH, f"{key}='{url}'")
    assert code == 2 and redaction.MASK in said
    assert leaks(tmp_path, said) == [] and list(tmp_path.iterdir()) == []


URL = f"http://user:{CANARY}@127.0.0.1:1"


@pytest.mark.parametrize(
    "arguments",
    [
        [f"tracking.uri={URL}"],
        [f"hydra.sweeper.storage=postgresql://user:{CANARY}@127.0.0.1:1/studies"],  # a single run, which doesn't need it
        [f"study.storage=postgresql://user:{CANARY}@127.0.0.1:1/studies"],
        ["data=table", f"data.path=https://user:{CANARY}@127.0.0.1:1/table.csv", "data.target=y"],
        [f"init.same_as={URL}"],
        [*SEARCH, f"data.path={URL},{URL}"],
        [f"+anything={URL}"],
        [f"hydra.run.dir={URL}"],
        [f"x=={URL}"],
        [f"--no-such-flag={URL}"],
        ["--cfg", "job", f"tracking.uri={URL}"],
        ["show", "study", "--storage", f"postgresql://127.0.0.1:1/studies?password={CANARY}"],
        ["show", URL],
        ["show", "study", URL],
        ["compare", URL, URL],
        ["compare", "run", f"--tracking-uri={URL}"],
        ["similar", "run", "--tracking-uri", URL],
    ],
    ids=" ".join,
)
def test_credentials_anywhere_on_the_command_line_are_refused(tmp_path: Path, arguments: list[str]) -> None:
    code, said = in_process(tmp_path, *arguments)
    assert code == 2
    assert leaks(tmp_path, said) == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [[], SEARCH, ["compare", "run", "run"]], ids=["single", "multirun", "compare"])
def test_a_password_in_the_variable_for_the_store_is_refused(tmp_path: Path, mode: list[str]) -> None:
    code, said = in_process(tmp_path, *mode, MLFLOW_TRACKING_URI=URL)
    assert code == 2
    assert leaks(tmp_path, said) == [] and list(tmp_path.iterdir()) == []


SECRETS = {"PGPASSWORD": CANARY, "MLFLOW_TRACKING_USERNAME": "user", "MLFLOW_TRACKING_PASSWORD": CANARY}


@pytest.mark.parametrize(
    "place",
    ["hydra.sweeper.storage=postgresql://user@127.0.0.1:1/studies", "tracking.uri=http://127.0.0.1:1"],
    ids=["optuna", "mlflow"],
)
def test_passwords_from_the_environment_stay_there_when_no_server_answers(tmp_path: Path, place: str) -> None:
    code, said = in_process(tmp_path, *SEARCH, place, **SECRETS)
    assert code == 3
    assert leaks(tmp_path, said) == [] and list(tmp_path.iterdir()) == []


class Indiscreet(BaseHTTPRequestHandler):
    """Lets everybody look, and refuses all else, telling the password that it was sent."""

    STATUS: ClassVar[dict[str, int]] = {"GET": 200}

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind, _, sent = self.headers.get("Authorization", "").partition(" ")
        sent = base64.b64decode(sent).decode() if kind == "Basic" else sent
        content = f"refused: {sent}".encode()
        self.send_response(self.STATUS.get(self.command, 401))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, *_: object) -> None: ...


class Closed(Indiscreet):
    """Refuses everything."""

    STATUS: ClassVar[dict[str, int]] = {}


@contextmanager
def serving(handler: type[Indiscreet]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def indiscreet() -> Iterator[str]:
    with serving(Indiscreet) as address:
        yield address


@pytest.mark.parametrize(
    ("login", "who"),
    [(SECRETS, "user 'user'"), ({"MLFLOW_TRACKING_TOKEN": CANARY}, "a token"), ({}, "nobody")],
    ids=["password", "token", "none"],
)
def test_a_refused_login_is_told_before_anything_is_written(tmp_path: Path, login: dict[str, str], who: str) -> None:
    with serving(Closed) as address:
        code, said = in_process(tmp_path, *SEARCH, f"tracking.uri={address}", **login)
    assert code == 3 and f"refuses the login of {who}" in said and "MLFLOW_TRACKING_USERNAME" in said
    assert leaks(tmp_path, said) == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [["training.epochs=1"], pytest.param(SEARCH, marks=pytest.mark.long)], ids=["single", "multirun"])
def test_a_password_that_a_server_sends_back_is_redacted(tmp_path: Path, indiscreet: str, mode: list[str]) -> None:
    code, said = launch(tmp_path, *mode, f"tracking.uri={indiscreet}", **SECRETS)
    assert code == 3 and "401" in said and redaction.MASK in said
    assert leaks(tmp_path, said) == []


def test_a_password_that_postgresql_refuses_stays_in_the_environment(tmp_path: Path) -> None:
    with servers.postgres() as database:
        storage = f"hydra.sweeper.storage={database.create('studies')}"
        code, said = launch(tmp_path, *SEARCH, storage, "tracking=none", PGPASSWORD=CANARY)
    assert code == 3 and "password authentication failed" in said
    assert leaks(tmp_path, said) == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"got postgresql://user:{CANARY}@host/a, no", "got postgresql://user:***@host/a, no"),
        ("postgresql://user@host/a", "postgresql://user@host/a"),
        ("http://127.0.0.1:5000/#/experiments/1", "http://127.0.0.1:5000/#/experiments/1"),
        (f"https://{CANARY}@host", "https://***@host"),
        (f"host/a?x=1&password={CANARY}&y=2", "host/a?x=1&password=***&y=2"),
        (f"fatal: {CANARY}!", "fatal: ***!"),
        ("mail user@host: it is 12:30", "mail user@host: it is 12:30"),
    ],
)
def test_redaction(text: str, told: str) -> None:
    assert redaction.redact(text, {"PGPASSWORD": CANARY, "MLFLOW_TRACKING_TOKEN": "is"}) == told


def test_a_traceback_is_redacted(tmp_path: Path) -> None:
    code = "import sys; from study import redaction; sys.excepthook = redaction.excepthook; raise RuntimeError(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, URL], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "RuntimeError: http://user:***@127.0.0.1:1" in done.stderr and CANARY not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("hydra.sweeper.study_name=${oc.env:GITHUB_TOKEN}", "--multirun", "optimizer=adam,sgd"),
        ("tracking.uri=sqlite:///${oc.env:GITHUB_TOKEN}",),
        ("hydra.run.dir=${oc.env:GITHUB_TOKEN}",),
        ("hydra.sweep.dir=out/${oc.env:GITHUB_TOKEN}", "--multirun", "optimizer=adam,sgd"),
        ("data=table", "data.path=${oc.env:GITHUB_TOKEN,rows.csv}", "data.target=y"),
    ],
)
def test_a_secret_variable_is_no_part_of_a_config(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, said = in_process(tmp_path, "data=iris" if "data=table" not in arguments else "seed=0", *arguments, GITHUB_TOKEN=CANARY)
    assert code == 2 and "${oc.env:GITHUB_TOKEN}: got" in said
    assert leaks(tmp_path, said) == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "secret"),
    [
        ("GITHUB_TOKEN", True),
        ("OPENAI_API_KEY", True),
        ("DB_PASSWORD", True),
        ("CLIENT_SECRET", True),
        ("MY_KEY_FILE", True),
        ("PGPASSWORD", True),
        ("HOME", False),
        ("KEYBOARD", False),
        ("MONKEY", False),
        ("SLURM_JOB_ID", False),
        ("DATA_PATH", False),
    ],
)
def test_a_variable_is_secret_by_its_name(variable: str, secret: bool) -> None:
    assert redaction.is_secret(variable) is secret
    assert (redaction.redact(f"a {CANARY}", {variable: CANARY}) == "a ***") is secret
