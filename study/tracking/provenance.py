"""What decides a trial's bits besides its settings: what is recorded of it, and what differs between then and now."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from study.data import loading
from study.errors import visible
from study.settings.data import CLASSIFICATION
from study.settings.spec import TrialSpec

PACKAGE = Path(__file__).parent.parent
# what trains, and what it trains on: a change elsewhere, of a table or a picture, changes no bit
DECIDING = (
    "analysis/convergence.py",
    "analysis/forward.py",
    "data/",
    "engine/",
    "records/",
    "sampling.py",
    "seeds.py",
    "settings/",
)
# a kind of difference, and what is recorded of it: here and in `cohort.environment`
KINDS = {
    "code": ("mlp_study", "code_sha256", "parts"),
    "versions": ("python", "tensorflow", "keras", "numpy"),
    "CPU": ("processor", "devices", "threads", "width", "onednn", "xla_flags", "tf_xla_flags"),
    "system": ("system",),
    "data": ("data_sha256",),
}
# what a record doesn't name was so when it was made
EARLIER = {"parts": "drawn from all rows"}
BEFORE_PACKAGES = "0.1."  # versions whose modules lay in no packages: the digest of code is of paths too
SHOWN, OF_DIGESTS = 40, 16  # characters of a value


@dataclass(frozen=True)
class Difference:
    """What was recorded under a name, and what is there now."""

    kind: str
    name: str
    then: str
    now: str

    def __str__(self) -> str:
        most = OF_DIGESTS if self.name.endswith("sha256") else SHOWN
        moved = " (code paths have moved, so its digest differs where the code may not)" * (
            self.name == "mlp_study" and self.then.startswith(BEFORE_PACKAGES)
        )
        return f"{self.name} {_own(self.then, self.now, most)} → {_own(self.now, self.then, most)}{moved}"


def describe(spec: TrialSpec) -> dict[str, str]:
    """The program that trains, and the data. Raises BadInput if the data can't be loaded."""
    parts = {"parts": "stratified by class"} if spec.data.task == CLASSIFICATION else {}
    return {"mlp_study": _version(), "code_sha256": code(), "data_sha256": loading.digest(spec)} | parts


def _version() -> str:
    try:
        return version("mlp-study")
    except PackageNotFoundError:  # run from a checkout
        return "not installed"


@cache
def code(package: Path = PACKAGE) -> str:
    """sha256, in hex, of the source files that decide bits."""
    content = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        place = file.relative_to(package).as_posix()
        if place.startswith(DECIDING):
            content.update(f"{place}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return content.hexdigest()


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    """What was recorded and is different now, in the order of KINDS."""
    then = {name: value for name, value in EARLIER.items() if name in now} | dict(then)
    named = [(kind, name) for kind, names in KINDS.items() for name in names if name in then]
    return [Difference(kind, name, then[name], now[name]) for kind, name in named if then[name] != now[name]]


def unrecorded(then: Mapping[str, str]) -> list[str]:
    """What an older program didn't record."""
    return [name for names in KINDS.values() for name in names if name not in then and name not in EARLIER]


def text(found: Sequence[Difference]) -> str:
    """The differences by kind, such as `versions: keras 3.15.1 → 3.15.2; CPU: threads 2 → 4`."""
    kinds = dict.fromkeys(each.kind for each in found)
    return "; ".join(f"{kind}: {', '.join(str(each) for each in found if each.kind == kind)}" for kind in kinds)


def _own(value: str, other: str, most: int) -> str:
    """The words of a value that the other hasn't, at most so many characters: a processor has a hundred instruction sets."""
    words = visible(" ".join(word for word in value.split() if word not in other.split())) or "–"
    return words if len(words) <= most else f"{words[:most]}…"
