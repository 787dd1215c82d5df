"""Parse lines in Hydra's override grammar, suggest quotes, and write values that Hydra reads back unchanged."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString
from hydra.errors import HydraException
from hydra.version import VersionBase, setbase

from study.errors import BadInput, Fault
from study.search import space as spaces

VERSION_BASE = "1.3"
# settings that hold free text
COLUMN, COLUMNS, QUERY = "data.target", "data.drop", "data.sql"
TEXTS = {
    COLUMN,
    "data.path",
    "data.test_path",
    "data.group",
    "data.time",
    "data.weight",
    "data.delimiter",
    "data.decimal",
    "data.encoding",
    "data.quote",
    "data.sheet",
    "data.sql",
    "init.same_as",
    "tracking.uri",
}
TEXTS |= {"hydra.sweeper.study_name", "hydra.sweeper.storage", "hydra.sweeper.from"}


@contextmanager
def of_version() -> Iterator[None]:
    """Let Hydra act as this version of it in the block: it keeps one for the whole process, which may be another program's."""
    kept = VersionBase.instance()
    before = kept.version_base
    setbase(VERSION_BASE)
    try:
        yield
    finally:
        kept.version_base = before


def parse(lines: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Parse overrides. Raises BadInput with a fault for each line that breaks the grammar."""
    parser, parsed, faults = OverridesParser.create(config_loader=loader), [], []
    for line in lines:
        try:
            with of_version():
                parsed += parser.parse_overrides([line])
        except HydraException as error:
            valid = f"key=value in Hydra's grammar ({str(error).splitlines()[0]}){_quoted(line)}"
            faults.append(Fault(line.split("=")[0], line, valid))
    if faults:
        raise BadInput(faults)
    return parsed


def _quoted(line: str) -> str:
    """Return a hint that quotes the text of a line that breaks the grammar, ready for a shell; empty for settings without text."""
    written, _, value = line.partition("=")
    key = written.lstrip("+")
    if key in (COLUMN, COLUMNS) and value[:1] == "[" and value[-1:] == "]":
        tries = {f"[{_each_in_quotes(value[1:-1])}]": ""}
    elif key == COLUMN and (listed := re.fullmatch(r"choice\((.*)\)", value)):
        tries = {_each_in_quotes(listed[1]): ""}
    elif key == COLUMN and "," in value:
        tries = {_in_quotes(value): " (one column)", _each_in_quotes(value): " (several columns)"}
    else:
        tries = {_in_quotes(value): ""} if key in TEXTS else {}
    hints = [f"{shlex.quote(f'{written}={text}')}{kind}" for text, kind in tries.items() if is_grammatical(f"{written}={text}")]
    return f"; with quotes: {' or '.join(hints)}" if hints else ""


def _in_quotes(text: str) -> str:
    return text if text[:1] in ("'", '"') else QuotedString(text, Quote.double).with_quotes()


def _each_in_quotes(text: str) -> str:
    return ",".join(_in_quotes(name.strip()) for name in text.split(","))


def is_grammatical(line: str) -> bool:
    try:
        return bool(parse([line]))
    except BadInput:
        return False


def quote_columns(lines: Sequence[str]) -> list[str]:
    """Quote column names that the grammar would read as another type, such as 2019, null or true, and queries."""
    return [_quote_columns(line) for line in lines]


def _quote_columns(line: str) -> str:
    written, _, text = line.partition("=")
    if written.lstrip("+") == QUERY and text not in ("", "null") and not text.startswith("choice("):
        return f"{written}={_in_quotes(text)}"  # its commas separate no choices
    if written.lstrip("+") not in (COLUMN, COLUMNS) or not is_grammatical(line):
        return line
    value = parse([line])[0]._value
    if isinstance(value, list):
        return f"{written}={_name(value)}"
    if isinstance(value, ChoiceSweep):
        names, same = ",".join(map(_name, value.list)), ",".join(map(as_text, value.list))
        return line if names == same else f"{written}={names}"
    if written.lstrip("+") == COLUMN and (value is None or isinstance(value, bool | int | float)):
        # as typed, since 1e3 and 007 would change if parsed
        return f"{written}={_in_quotes(text.strip())}"
    return line


def _name(element: object) -> str:
    """Return a column's name, or a list of names, as override text."""
    if isinstance(element, list):
        return f"[{','.join(map(_name, element))}]"
    text = as_text(element)
    if isinstance(element, QuotedString) or (isinstance(element, str) and isinstance(parse([f"x={text}"])[0]._value, str)):
        return text
    return _in_quotes(text)


def as_text(element: object) -> str:
    if element is None or isinstance(element, bool | int | float):
        return spaces.text(element)
    return str(Override._get_value_element_as_str(element))  # type: ignore[arg-type]


def encode(value: object) -> str:
    """Return a value as the right-hand side of an override, which Hydra reads back as the same value."""
    if value is None or isinstance(value, bool):
        return spaces.text(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(encode, value))}]"
    return QuotedString(str(value), Quote.single).with_quotes()
