"""Keep passwords and other secrets out of all output. Only this module knows what they look like."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Mapping
from functools import cache
from types import TracebackType
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
SECRET_VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "DATABRICKS_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PGPASSWORD",
    "PGSSLPASSWORD",
    "POSTGRES_PASSWORD",
)
# a shorter value would be found in ordinary words; of a variable that is secret by its name's form alone, more must be asked
SHORTEST, SHORTEST_BY_FORM = 4, 8
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKENS?|(?:API)?KEYS?|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASE|CREDENTIALS?|PAT|AUTH)(?:_|$)", re.IGNORECASE
)

# up to the last @ of a word, since a password may contain one
_BEFORE_AT = re.compile(r"(?<!\S)\S+@")
_PARAMETER = re.compile(
    r"((?:password|passwd|passphrase|\bpass|pwd|secret|token|signature|\bsig|credential|api_?key|access_?key)(?:_?key)?)=[^&;#\s'\"]+",
    re.IGNORECASE,
)


@cache
def is_secret(variable: str) -> bool:
    """Return whether an environment variable holds a secret, by its name: GITHUB_TOKEN does."""
    return variable in SECRET_VARIABLES or bool(_SECRET_NAME.search(variable))


def redact(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Replace credentials in URLs, and the values of the environment's secret variables, by `***`."""
    for name, secret in environment.items():
        if is_secret(name) and len(secret) >= (SHORTEST if name in SECRET_VARIABLES else SHORTEST_BY_FORM):
            for form in (secret, quote(secret, safe=""), quote_plus(secret)):
                text = text.replace(form, MASK)
    return _PARAMETER.sub(rf"\1={MASK}", _BEFORE_AT.sub(_without_password, text))


def _without_password(match: re.Match[str]) -> str:
    head = match[0][:-1]
    before, slashes, user = head.partition("://") if "://" in head else ("", "", head)
    user, colon, password = user.partition(":")
    if colon and variable_of(password):
        return match[0]
    if colon:
        return f"{before}{slashes}{user}:{MASK}@"
    # PostgreSQL accepts a user name alone; for a web server it could only be a secret
    return f"{before}{slashes}{MASK}@" if before.lower().endswith(("http", "https")) else match[0]


def variable_of(password: str) -> str | None:
    """Return the name of the environment variable that stands for a password in a URL, such as $DB_PASSWORD; None if none does.

    It must be there: a password may begin with the same sign.
    """
    name = password.removeprefix("$")
    return name if name != password and name in os.environ else None


def holds_credentials(url: str) -> bool:
    """Return True if a URL contains a password in any form, or (http) a user name alone, which could only be a secret."""
    return any(redact(form, {}) != form for form in (_one_word(url), _one_word(unquote(url))))


def masked(url: str) -> str:
    """Return a URL that holds credentials in a form that is safe to show."""
    shown = redact(_one_word(url), {})
    # a secret that only shows after decoding can't be separated from the rest
    return f"{url.partition(':')[0]}:{MASK}" if holds_credentials(shown) else shown


def _one_word(url: str) -> str:
    return re.sub(r"\s", "_", url)


def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print Python's own report of an uncaught exception, redacted: for `sys.excepthook`."""
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))
