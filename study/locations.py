"""Locations of the records, by default databases in the working directory; checks that their servers answer."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

from study import redaction, sqlite
from study.errors import BadInput, Fault, Unreachable

STORAGE, TRACKING = "hydra.sweeper.storage", "tracking.uri"
STORAGES = (
    "sqlite:///FILE or postgresql://[USER@]HOST[:PORT]/DATABASE, without a password (PostgreSQL reads PGPASSWORD or ~/.pgpass)"
)
STORES = (
    "sqlite:///FILE or http[s]://HOST[:PORT], without a password "
    "(MLflow reads MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN)"
)
# without an explicit driver, SQLAlchemy 2.1 uses another one
POSTGRESQL, POSTGRESQL_DRIVER = "postgresql", "postgresql+psycopg2"
ANSWER_SECONDS = 4
LONGEST = 100  # bytes, of the 255 that a file system allows


def cache(name: str) -> Path:
    """Return a folder for content that can be made again; it may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlp-study" / name


def file_name(name: str) -> str:
    """Make a file or folder name of a study's name: valid in any file system, and unique where characters are replaced or cut."""
    safe = re.sub(r"[^\w.-]+", "_", name).strip(".") or "study"
    if safe == name and len(safe.encode()) <= LONGEST:
        return safe
    return f"{safe.encode()[:LONGEST].decode(errors='ignore')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def tracking_uri(configured: str | None) -> str:
    """Return the MLflow store: as configured, else `MLFLOW_TRACKING_URI`, else the database that a bare `mlflow ui` reads here.

    Raises BadInput for an invalid URL, another kind of store, or credentials in the URL.
    """
    uri = configured or os.environ.get("MLFLOW_TRACKING_URI") or sqlite.url_of(Path("mlflow.db"))
    if _scheme(TRACKING, uri, STORES) not in ("sqlite", "http", "https"):
        raise BadInput([Fault(TRACKING, uri, STORES)])
    return uri


def check(tracking_uri: str) -> None:
    """Raise Unreachable if the URL's MLflow server, if it is one, doesn't answer within seconds, or refuses the login."""
    if not tracking_uri.startswith("http"):
        return
    import urllib.error  # no other start needs HTTP
    import urllib.request

    name, password, token = (os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD", "TOKEN"))
    # this request needs a login; `/health` doesn't
    request = urllib.request.Request(f"{tracking_uri.rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1")
    if name:
        request.add_header("Authorization", f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}")
    elif token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS):
            return
    except urllib.error.HTTPError as error:
        error.close()  # it is an answer too
        if error.code in (401, 403):
            who = f"user {name!r}" if name else "a token" if token else "nobody"
            hint = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            raise Unreachable(f"{TRACKING} {tracking_uri}: the MLflow server refuses the login of {who}; {hint}") from error
        return  # the server answers; MLflow reports any other problem
    except (OSError, ValueError) as error:
        raise Unreachable(f"{TRACKING} {tracking_uri}: no MLflow server answers: {getattr(error, 'reason', error)}") from error


def storage(configured: str | None) -> str:
    """Return Optuna's storage: as configured, else `MLP_STUDY_STORAGE`, else the database here.

    Raises BadInput for an invalid URL, another kind of storage, or credentials in the URL, and Unreachable if its PostgreSQL server
    doesn't answer within seconds.
    """
    url = configured or os.environ.get("MLP_STUDY_STORAGE") or sqlite.url_of(Path("optuna.db"))
    scheme = _scheme(STORAGE, url, STORAGES)
    if scheme == "sqlite":
        return url
    if scheme not in (POSTGRESQL, POSTGRESQL_DRIVER):
        raise BadInput([Fault(STORAGE, url, STORAGES)])
    rest = url.partition(":")[2]
    _check_database(f"{POSTGRESQL}:{rest}")
    return f"{POSTGRESQL_DRIVER}:{rest}"


def _check_database(url: str) -> None:
    """Connect once. url: in the form of libpq, PostgreSQL's own client library."""
    try:
        import psycopg2
    except ImportError as error:
        raise BadInput([Fault(STORAGE, url, "PostgreSQL with its driver: pip install 'mlp-study[postgres]'")]) from error
    if not urllib.parse.urlsplit(url).path.strip("/"):
        raise BadInput([Fault(STORAGE, url, STORAGES)])
    try:
        psycopg2.connect(url, connect_timeout=ANSWER_SECONDS).close()
    except psycopg2.OperationalError as error:
        raise Unreachable(f"{STORAGE} {url}: {_first_line(error)}") from error
    except psycopg2.Error as error:
        raise BadInput([Fault(STORAGE, url, f"{STORAGES} ({_first_line(error)})")]) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _scheme(key: str, url: object, valid: str) -> str:
    """Return the scheme of a complete URL without credentials. Raises BadInput for any other value."""
    text = str(url)
    if text.startswith(sqlite.PREFIX):
        name, question, _ = text.partition("?")
        if question or not sqlite.path_of(text):
            raise BadInput([Fault(key, name + question, valid)])
        return "sqlite"
    if redaction.holds_credentials(text):
        raise BadInput([Fault(key, redaction.masked(text), valid)])
    try:
        parts = urllib.parse.urlsplit(text)
        # without a host, PostgreSQL's client uses this machine's socket
        whole = "://" in text and (parts.hostname or parts.scheme.startswith(POSTGRESQL)) and parts.port != 0
    except ValueError as error:
        raise BadInput([Fault(key, url, f"{valid} ({error})")]) from error
    if not whole or any(character.isspace() for character in text):
        raise BadInput([Fault(key, url, valid)])
    return parts.scheme


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise BadInput for credentials in a URL anywhere on the command line: Hydra would keep them in its output folders."""
    faults, valid = [], "a URL without credentials; use PGPASSWORD, ~/.pgpass or MLFLOW_TRACKING_PASSWORD"
    for argument in arguments:
        if "://" in urllib.parse.unquote(argument) and redaction.holds_credentials(argument):
            key, _, url = argument.partition("=") if "://" not in argument.partition("=")[0] else ("a URL", "", argument)
            faults.append(Fault(key, redaction.masked(url), valid))
    if faults:
        raise BadInput(faults)
