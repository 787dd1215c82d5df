"""Domains of a search and overrides, written from Python values in the grammar of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from study.config.grammar import encode, parse
from study.errors import BadInput, Fault

When = Mapping[str, object] | None


def choice(*values: object, when: When = None) -> str:
    text = ",".join(map(value_text, values))
    # within choice(…), the grammar has no null
    return text if len(values) > 1 and not when else _tagged(f"choice({text})", [], when)


def interval(low: float, high: float, *, whole: bool = False, when: When = None) -> str:
    return _tagged(_interval(low, high, whole), [], when)


def log(low: float, high: float, *, whole: bool = False, when: When = None) -> str:
    return _tagged(_interval(low, high, whole), ["log"], when)


def _interval(low: float, high: float, whole: bool) -> str:
    text = f"interval({low!r},{high!r})"
    return f"int({text})" if whole else text


def _tagged(text: str, tags: Sequence[str], when: When) -> str:
    tags = [*tags, *(f"{key}:{'|'.join(map(value_text, _listed(values)))}" for key, values in (when or {}).items())]
    return f"tag({','.join([*tags, text])})" if tags else text


def _listed(values: object) -> Sequence[object]:
    return values if isinstance(values, Sequence) and not isinstance(values, str) else [values]


def value_text(value: object) -> str:
    """Return a value as override text, unquoted where that is read back as the same text."""
    with suppress(BadInput):
        if isinstance(value, str) and parse([f"x={value}"])[0]._value == value:
            return value
    return encode(value)


def overrides(space: Mapping[str, object]) -> list[str]:
    """Return a search's settings as overrides.

    A sequence holds the choices, and a Python range its whole numbers; a text is in the grammar, as the functions of this module
    write it; any other value is the only one. Raises BadInput for a space that isn't a mapping, and for no choices.
    """
    if not isinstance(space, Mapping):
        valid = 'a mapping of settings to their values, such as {"optimizer": ["adam", "sgd"]}'
        raise BadInput([Fault("space", space, valid)])
    empty = [key for key, value in space.items() if isinstance(value, Sequence) and not len(value)]
    if empty:
        raise BadInput([Fault(key, space[key], "at least one value") for key in empty])
    return [f"{key}={_domain(value)}" for key, value in space.items()]


def _domain(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, range):
        return f"range({value.start},{value.stop},{value.step})"
    return choice(*value) if isinstance(value, Sequence) else encode(value)
