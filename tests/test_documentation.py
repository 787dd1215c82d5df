"""The pages: what they show is run, where they point to is there, and the reference is what the code says.

A page's `console` and `python` blocks are run in order, in a folder of its own; what one leaves the next one finds. Training is
cut short (SHORT, and IF_GIVEN where a command has the setting), so that trial 18 of a page's study may be its trial 0: numbers of
trials and replicates in an address are taken modulo two. STUDY is the last study that the page trained, RUN its last trial's run. A
table that a page takes for the user's own, and doesn't make, is made up. A comment before a block changes this for its commands:

    <!-- test: with data.rows=50 replicates.crossed=[2,2] -->   these settings, in place of what is written and of SHORT
    <!-- test: exits with 2 -->                                 it is to end so
    <!-- test: skip: needs Slurm -->                            it isn't run, for this reason
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import mlflow
import pytest
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as TrackingStore
from mlflow.tracking._model_registry.registry import ModelRegistryStoreRegistry
from mlflow.tracking._tracking_service.registry import TrackingStoreRegistry

from study.cli.program import commands
from study.tracking import schema as names
from tests.command import client, forget, ran

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
# minutes each
LONG_PAGES = ("cluster.md", "data.md", "search.md")
REFERENCE = ROOT / "docs" / "reference.md"

# without replicates of its own, a study ends with a race
SHORT = {"training.epochs": "2", "hydra.sweeper.n_trials": "2", "hydra.sweeper.max_replicates": "8"}
IF_GIVEN = {"replicates.count": "2", "replicates.crossed": "[2,2]"}
LANGUAGES = {"console", "python", "text", "mermaid"}
FENCE = re.compile(r"^(?:<!-- test: (?P<note>[^\n]*) -->\n+)?```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
IN_SHELL = {"|", ">", ">>", "<", "&&", ";", "&"}
ADDRESS = re.compile(r"(?P<study>[^=\s]+?)/(?P<trial>\d+)(?:/(?P<replicate>\d+))?")
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    line: int
    note: str

    @property
    def skipped(self) -> bool:
        return self.note.startswith("skip: ")

    @property
    def exit_code(self) -> int:
        found = re.search(r"exits with (\d+)", self.note)
        return int(found[1]) if found else 0

    @property
    def settings(self) -> dict[str, str]:
        """What is to be in place of what is written."""
        _, there, text = self.note.partition("with ")
        return dict(each.split("=", 1) for each in text.split() if "=" in each) if there else {}

    def commands(self) -> Iterator[str]:
        """Those after a $, with the lines that they go on over."""
        for line in self.code.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield line.removeprefix("$ ")


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start("code")) + 1
        yield Block(found["language"], found["code"], line, found["note"] or "")


# -- running -----------------------------------------------------------------------------------------------------------------


@dataclass
class Reader:
    """Somebody who does what a page says, in a folder."""

    page: Path
    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})

    def follow(self, block: Block) -> None:
        if block.language == "python":
            forget()
            code = re.sub(r"\bn_trials=\d+", f"n_trials={SHORT['hydra.sweeper.n_trials']}", block.code)
            exec(compile(code, f"{self.page.name}:{block.line}", "exec"), self.names)
        if block.language == "console":
            for command in block.commands():
                try:
                    self._run(command, block)
                except BaseException as error:
                    error.add_note(f"{self.page.name}, line {block.line}: $ {command}")
                    raise

    def _run(self, command: str, block: Block) -> None:
        words = shlex.split(command, comments=True)
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", MAKEFILE, re.M), f"no target {words[1]}"
        elif words[0] == "pip":
            wanted = re.findall(r"\[([\w,]+)\]", command)
            assert {extra for each in wanted for extra in each.split(",")} <= PROJECT["optional-dependencies"].keys()
            assert (ROOT / "constraints.txt").exists()
        elif words[0] == "mlp-study" and not IN_SHELL & set(words):
            forget()
            ran(self.folder, *self._meant(words[1:], block), code=block.exit_code)
        else:
            self._shell(command, block)

    def _meant(self, words: list[str], block: Block) -> list[str]:
        if words[:1] and words[0] in commands.commands:
            return [self._address(word) for word in words]
        given = dict(word.split("=", 1) for word in words if "=" in word)
        if "data.path" in given:
            self._make_table(
                self.folder / given["data.path"], given["data.target"], given.get("data.drop", "[]").strip("[]").split(",")
            )
        put = SHORT | {key: value for key, value in IF_GIVEN.items() if key in given} | block.settings
        if not {"-m", "--multirun"} & set(words):
            put = {key: value for key, value in put.items() if not key.startswith("hydra.")}
        return [*(word for word in words if word.split("=", 1)[0] not in put), *(f"{key}={value}" for key, value in put.items())]

    def _make_table(self, file: Path, target: str, dropped: list[str]) -> None:
        if file.exists():
            return
        names = ["area", "heating", *filter(None, dropped), target]
        rows = [[1 + row % 37, ["gas", "oil"][row % 2], *([row] * (len(names) - 3)), 3.5 * row] for row in range(100)]
        file.write_text("\n".join(",".join(map(str, row)) for row in [names, *rows]))

    def _address(self, word: str) -> str:
        """What stands for a study, a trial or a replicate of the page, as it is called here."""
        if "STUDY" in word:
            word = word.replace("STUDY", self._study())
        if word == "RUN":
            return self._last_trial()
        found = ADDRESS.fullmatch(word)
        if not found:
            return word
        numbers = [found["trial"], *([found["replicate"]] if found["replicate"] else [])]
        return "/".join([found["study"], *(str(int(number) % 2) for number in numbers)])

    def _study(self) -> str:
        trials = client().search_runs(self._experiments(), f"tags.`{names.TRIAL}` != ''", order_by=["attributes.start_time DESC"])
        return client().get_experiment(trials[0].info.experiment_id).name

    def _last_trial(self) -> str:
        wanted = f"tags.`{names.KIND}` = 'trial'"
        [run] = client().search_runs(self._experiments(), wanted, order_by=["attributes.start_time DESC"], max_results=1)
        return str(run.info.run_id)

    def _experiments(self) -> list[str]:
        return [each.experiment_id for each in client().search_experiments()]

    def _shell(self, command: str, block: Block) -> None:
        line = " ".join(self._address(word) if word == "RUN" or "STUDY" in word else word for word in command.split(" "))
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        # but for the compiled programs of this process, which another process with other switches must not take
        environment = {key: value for key, value in os.environ.items() if key != "TF_XLA_FLAGS"} | {"PATH": path}
        done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=1800)
        assert done.returncode == block.exit_code, done.stdout + done.stderr


@pytest.fixture
def reader(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    monkeypatch.chdir(tmp_path)
    # set and taken away, so that what a page makes of it goes with the page
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    yield Reader(request.param, tmp_path)
    mlflow.set_tracking_uri("")
    # MLflow keeps an open database by its address, which names another file in the next page's folder
    for registry in (TrackingStoreRegistry, ModelRegistryStoreRegistry):
        registry._get_store_with_resolved_uri.cache_clear()
    for kept in (TrackingStore, RegistryStore):
        kept._engine_map.clear()


@pytest.mark.long
# what the libraries that a page uses itself leave to the collector
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "reader",
    [
        pytest.param(page, id=name, marks=[pytest.mark.slow] * (page.name in LONG_PAGES))
        for page, name in zip(PAGES, NAMES, strict=True)
    ],
    indirect=True,
)
def test_what_a_page_shows_can_be_done(reader: Reader) -> None:
    for block in blocks(reader.page):
        if not block.skipped:
            reader.follow(block)


@pytest.mark.slow
@pytest.mark.long
def test_the_reference_tells_of_everything_that_is_in_mlflow(tmp_path: Path) -> None:
    told = generator()
    for data in ("diabetes", "digits"):
        # enough epochs for a trend
        ran(tmp_path, "-m", "optimizer=adam,sgd", f"data={data}", "replicates.count=2", "training.epochs=6")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        found = [run for each in client().search_experiments() for run in client().search_runs([each.experiment_id])]
        of_kind = {kind: [run for run in found if run.data.tags[names.KIND] == kind] for kind in ("study", "trial", "replicate")}
        metrics = {kind: {key for run in runs for key in run.data.metrics} for kind, runs in of_kind.items()}
        assert metrics == {
            "study": set(),
            "trial": {key for text in told.TRIALS for key in text.split(", ")} - {names.RACE_VAL_LOSS},
            "replicate": set(told.REPLICATES),
        }
        tags = {key for run in found for key in run.data.tags if not key.startswith("mlflow.")}
        assert tags - set(told.STUDY_TAGS) == {getattr(names, name) for name in told.TAGS} - {names.REASON, names.WHOLE}
        files = {file.path for file in client().list_artifacts(of_kind["study"][0].info.run_id)}
        assert files <= {name.replace("SETTING", "optimizer") for text in told.STUDY_FILES for name in text.split(", ")}


# -- reading -----------------------------------------------------------------------------------------------------------------


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_code_says() -> None:
    assert REFERENCE.read_text() == generator().reference(), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_where_a_page_points_to_is_there(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if target.startswith(("http://", "https://")):
            continue
        place, _, heading = unquote(target).partition("#")
        file = (page.parent / place).resolve() if place else page
        assert file.exists(), target
        assert not heading or heading in headings(file), target


def headings(page: Path) -> set[str]:
    """The anchors that GitHub makes."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_page_has_no_block_that_nothing_looks_at_and_no_path_of_one_machine(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES
    assert all(block.code.lstrip().startswith("$ ") for block in blocks(page) if block.language == "console")
    assert not re.search(r"/(home|root|work|tmp|Users)/\w", page.read_text())


def test_the_index_lists_all_pages() -> None:
    index = ROOT / "docs" / "README.md"
    listed = set(LINK.findall(index.read_text()))
    assert {page.name for page in PAGES[1:]} - {"README.md"} <= listed


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_source_files_that_a_page_names_exist(page: Path) -> None:
    files = re.findall(r"`([\w/]+/\w+\.py)`", page.read_text())
    assert [name for name in files if not (ROOT / name).exists() and not (ROOT / "study" / name).exists()] == []


def test_every_fault_has_a_test() -> None:
    page = (ROOT / "docs" / "faults.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("| fault ", "| --- "))]
    for row in rows:
        file, _, name = row.rpartition("`")[0].rpartition("`")[2].partition("::")
        assert f"\ndef {name}(" in (ROOT / "tests" / file).read_text(), row
    assert len(rows) > 40
