"""A self-contained HTML page of sections with charts and tables.

It contains everything that it shows, including Plotly's program, packed, and makes no request: it opens offline, in MLflow's
artifact viewer, and in ten years. Text from a user's settings and columns is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from study.errors import visible_lines
from study.redaction import redact
from study.reporting.pages.packing import packed
from study.reporting.report import Table
from study.tracking.artifacts import write_atomically

if TYPE_CHECKING:
    import plotly.graph_objects as go


MOST_WORDS = 25
# cells that hold numbers: 0.604 ± 0.010, 0.700 (94%), 15% [0%, 56%], 6.25e-04, 200 / 200 / 18.9, –
NUMBERS = re.compile(r"[-+–.,\d\s±%()\[\]/e]*")


@dataclass(frozen=True)
class Chart:
    """A figure of `charts`. alt: its content, for screen readers; caption: how to read it; wide: fills a row of its own."""

    title: str
    figure: go.Figure
    alt: str
    caption: str = ""
    wide: bool = False

    @property
    def height(self) -> int:
        return int(self.figure.layout.height)


@dataclass(frozen=True)
class Listing:
    """A table. foot: a note below it; marked: the indices of highlighted rows."""

    title: str
    table: Table
    foot: str = ""
    marked: frozenset[int] = frozenset()

    @property
    def words(self) -> set[int]:
        """Return the indices of columns that hold words, not numbers to compare."""
        if len(self.table.columns) == 2:
            return {0, 1}
        columns = zip(*self.table.rows, strict=True)
        return {index for index, cells in enumerate(columns) if not all(map(NUMBERS.fullmatch, cells))}


@dataclass(frozen=True)
class Code:
    title: str
    text: str


@dataclass(frozen=True)
class Section:
    """closed: only its title shows until the reader opens it."""

    title: str
    texts: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Listing] = ()
    codes: Sequence[Code] = ()
    closed: bool = False

    @property
    def empty(self) -> bool:
        return not (self.texts or self.charts or self.tables or self.codes)


@dataclass(frozen=True)
class Page:
    """headline: the answer in at most MOST_WORDS words; facts: a few short sentences; evidence: name → value, below them."""

    title: str
    subtitle: str
    headline: str
    facts: Sequence[str]
    evidence: Mapping[str, str]
    sections: Sequence[Section] = field(default_factory=list)


def write(content: Page, file: Path) -> None:
    """Write a page as one HTML file. Raises NotWritable."""
    write_atomically(file, render(content))


def render(content: Page) -> str:
    charts = [chart for section in content.sections for chart in section.charts]
    numbers = {id(chart): number for number, chart in enumerate(charts)}
    return _template().render(
        page=content,
        number=lambda chart: numbers[id(chart)],
        specs=_script([_spec(chart.figure) for chart in charts]),
        plotly=_plotly() if charts else "",
    )


def _spec(figure: go.Figure) -> dict[str, Any]:
    """Return a figure as Plotly's program reads it, without Python's default theme: the page has its own, light and dark."""
    spec: dict[str, Any] = json.loads(figure.to_json())
    spec["layout"].pop("template", None)
    return spec


def _script(content: object) -> Markup:
    """Return JSON for a script element, packed."""
    return Markup(packed(json.dumps(_redacted(content), separators=(",", ":"), allow_nan=False)))


def _redacted(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _redacted(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_redacted(value) for value in content]
    return redact(content) if isinstance(content, str) else content


def _shown(value: object) -> object:
    # a browser shows nothing in place of a control character
    return visible_lines(redact(value)) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("study.reporting.pages"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


@cache
def _plotly() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(packed(str(get_plotlyjs())))
