"""Settings of a table's columns as they are printed for pasting: quoted for Hydra's grammar, and for a shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from study.settings.data import UserTable


def _quoted(name: str) -> str:
    """Quote a text as an element of a list in Hydra's grammar, in which numbers, booleans and null would be no texts."""
    if re.fullmatch(r"[^\W\d][\w ]*\w|[^\W\d]", name, re.ASCII) and name.lower() not in ("null", "true", "false", "nan", "inf"):
        return name
    # a backslash is special before a quote, and before an interpolation of OmegaConf's
    escaped = re.sub(r'(\\*)("|\$\{|$)', lambda match: match[1] * 2 + ("\\" + match[2] if match[2] else ""), name)
    return f'"{escaped}"'


def drop_hint(names: Sequence[str]) -> str:
    """Return the setting that leaves out these columns, quoted for a shell."""
    return shlex.quote(f"data.drop=[{','.join(map(_quoted, names))}]")


def gaps_hint(settings: UserTable, more: Sequence[str | float]) -> str:
    gaps = (_quoted(gap) if isinstance(gap, str) else f"{gap:.15g}" for gap in (*settings.gaps, *more))
    return shlex.quote(f"data.gaps=[{','.join(gaps)}]")


def gaps_advice(settings: UserTable, texts: Sequence[str]) -> str:
    """Return what to do if these texts stand for missing values, to be put after a valid content; "" for none."""
    if not texts:
        return ""
    listed = " and ".join(filter(None, (", ".join(map(repr, texts[:-1])), repr(texts[-1]))))
    what = "stands for a missing value" if len(texts) == 1 else "stand for missing values"
    return f"; if {listed} {what}: {gaps_hint(settings, texts)}"


def roles_hint(name: str, role: str) -> str:
    """Return the setting that says a column's role, quoted for a shell."""
    quoted = _quoted(f"{name}: {role}")
    return shlex.quote(f"data.columns=[{quoted}]")


def group_hint(name: str) -> str:
    """Return the settings that keep the rows with one value of a column in one part, quoted for a shell."""
    return shlex.join(["data.split=group", f"data.group={_quoted(name)}"])


def time_hint(name: str, more: Sequence[str]) -> str:
    """Return the settings that split by a column of times, and more of them, quoted for a shell."""
    return shlex.join(["data.split=time", f"data.time={_quoted(name)}", *more])
