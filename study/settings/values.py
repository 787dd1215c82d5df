"""Settings as JSON values, and as the texts that MLflow's parameters and the records of earlier versions hold."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping, Sequence

Scalar = str | int | float | bool | None
Value = Scalar | Sequence[Scalar]


def as_text(value: Value) -> str:
    """Return the text that a setting has in MLflow and in a study's identity."""
    return str(value)


def as_texts(settings: Mapping[str, Value]) -> dict[str, str]:
    return {key: as_text(value) for key, value in settings.items()}


def as_typed(value: Value) -> str:
    """Return a setting as a command line has it: null, true, [init, order]."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(as_typed, value))}]"
    return str(value)


def from_text(text: str) -> Value:
    """Return the value of which `as_text` made a text; a text that stands for no other value stays as it is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python's parser, about texts that are no literals
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    known = value is None or isinstance(value, bool | int | float | list | tuple)
    return value if known and as_text(value) == text else text
