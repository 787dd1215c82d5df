"""Records what decides a trial's bits besides its settings, and compares it with what is there now."""

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
# the code that trains or loads data: a change elsewhere, such as in a table or a picture, changes no bit
DECIDING = (
    "analysis/blas.py",
    "analysis/convergence.py",
    "analysis/forward.py",
    "analysis/motion.py",
    "analysis/thresholds.py",
    "data/",
    "engine/",
    "records/",
    "sampling.py",
    "seeds.py",
    "settings/",
)
# a kind of difference → the names under which it is recorded, here and in `training.environment`
KINDS = {
    "code": ("mlp_study", "code_sha256", "parts"),
    "versions": ("python", "tensorflow", "keras", "numpy"),
    "CPU": ("processor", "devices", "threads", "width", "onednn", "xla_flags", "tf_xla_flags"),
    "system": ("system",),
    "data": ("data_sha256",),
}
# what records of earlier versions don't name
EARLIER = {"parts": "drawn from all rows"}
BEFORE_PACKAGES = "0.1."  # versions whose modules lay in no packages: the digest of code is of paths too
SHOWN, OF_DIGESTS = 40, 16  # characters of a value


@dataclass(frozen=True)
class Difference:
    """A recorded value that is different now."""

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
    """Return the record of the program that trains and of the data. Raises BadInput if the data can't be loaded."""
    parts = {"parts": "stratified by class"} if spec.data.task == CLASSIFICATION else {}
    return {"mlp_study": _version(), "code_sha256": code(), "data_sha256": loading.digest(spec)} | parts


def _version() -> str:
    try:
        return version("mlp-study")
    except PackageNotFoundError:  # run from a checkout
        return "not installed"


@cache
def code(package: Path = PACKAGE) -> str:
    """Return the sha256, in hex, of the source files that decide bits."""
    content = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        path = file.relative_to(package).as_posix()
        if path.startswith(DECIDING):
            content.update(f"{path}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return content.hexdigest()


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    """Return what was recorded and is different now, as far as both are known, in the order of KINDS."""
    then = {name: value for name, value in EARLIER.items() if name in now} | dict(then)
    named = [(kind, name) for kind, names in KINDS.items() for name in names if name in then and name in now]
    return [Difference(kind, name, then[name], now[name]) for kind, name in named if then[name] != now[name]]


def unrecorded(then: Mapping[str, str]) -> list[str]:
    """Return the names that an older program didn't record."""
    return [name for names in KINDS.values() for name in names if name not in then and name not in EARLIER]


def text(differences: Sequence[Difference]) -> str:
    """Return the differences by kind, such as `versions: keras 3.15.1 → 3.15.2; CPU: threads 2 → 4`."""
    by_kind: dict[str, list[str]] = {}
    for difference in differences:
        by_kind.setdefault(difference.kind, []).append(str(difference))
    return "; ".join(f"{kind}: {', '.join(texts)}" for kind, texts in by_kind.items())


def _own(value: str, other: str, most: int) -> str:
    """Return the words of a value that the other lacks, at most so many characters: a processor has a hundred instruction sets."""
    words = visible(" ".join(word for word in value.split() if word not in other.split())) or "–"
    return words if len(words) <= most else f"{words[:most]}…"
