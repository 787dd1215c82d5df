"""The shape of the code: imports point downward, each heavy dependency has one home, and a start loads little."""

import ast
import graphlib
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import study

ROOT = Path(__file__).parent.parent

# `ls study/`, in the order of imports: a package imports from those before it. The leaves are single modules.
LEAVES = "leaves"
ORDER = (
    LEAVES,
    "settings",
    "records",
    "data",
    "statistics",
    "search",
    "analysis",
    "config",
    "tracking",
    "engine",
    "reporting",
    "results",
    "runner",
    "estimators",
    "cli",
    "__main__",
    "hydra_plugins",
)
MOST_FLAT = 12  # modules beside the packages, with __init__ and __main__
# Optuna, MLflow and TensorFlow are behind packages that don't know one another
ADAPTERS = {"search", "tracking", "engine"}

# who may import a heavy dependency, be it for its types alone
HOMES = {
    # its public names; its private interface for functions; in an exported folder, where there is no engine
    "tensorflow": {"engine.backend", "engine.stored_programs", "results.exported"},
    "keras": {"engine.backend", "__init__"},  # the type of study.keras_model
    "optuna": {"search"},
    "sqlalchemy": {"data.queries", "search"},
    "openpyxl": {"data.workbooks"},
    "mlflow": {"tracking"},
    "rich": {"reporting.streams", "reporting.terminal", "reporting.progress"},
    "plotly": {"reporting.pages", "reporting.pages.charts", "results.study_handle"},
    "jinja2": {"reporting.pages"},
    "charset_normalizer": {"data.table_text"},
    "pyarrow": {"data", "tracking.artifacts"},
    "pandas": {"results", "tracking", "estimators"},
    "sklearn": {"data.loading", "data.shapes", "data.target_codes", "analysis.baselines", "estimators"},
    "click": {"cli"},
    "hydra": {"config", "runner", "cli", "hydra_plugins"},
    "omegaconf": {"config", "runner", "cli", "hydra_plugins"},
}
# tables of Optuna's and of MLflow's databases
TABLES = re.compile(r"\b(?:FROM|INTO|UPDATE|JOIN)\s+(studies|study_\w+|trials|trial_\w+|experiments|runs|tags|params|metrics)\b")


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    module_name(file): ast.parse(file.read_text())
    for folder in ("study", "hydra_plugins")
    for file in ROOT.glob(f"{folder}/**/*.py")
}


def imported(module: str) -> set[str]:
    """Everything that a module imports, inside functions and for its types too: of the project's own modules, the submodule."""
    found = set()
    for node in ast.walk(SOURCES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import, which this test doesn't resolve"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in SOURCES else str(node.module) for name in names}
    return found


def own(module: str) -> set[str]:
    return imported(module) & set(SOURCES)


def place(module: str) -> str:
    """A module's name without the package's: `engine.backend`."""
    return module.removeprefix("study.") if module != "study" else "__init__"


def package(module: str) -> str:
    """The name of a module's package in ORDER; of most single modules that is LEAVES."""
    first = place(module).split(".")[0]
    return first if first in ORDER else LEAVES


PACKAGES = sorted(module for module in SOURCES if (ROOT / "study" / place(module).replace(".", "/") / "__init__.py").exists())
MODULES = sorted(set(SOURCES) - {"study"})


def test_every_package_has_its_place_in_the_order() -> None:
    assert {package(module) for module in MODULES} == set(ORDER)
    assert len(list((ROOT / "study").glob("*.py"))) <= MOST_FLAT


def test_imports_point_downward_or_stay_in_their_package() -> None:
    assert [
        f"{module} imports {target}"
        for module in MODULES
        for target in own(module)
        if target == "study" or ORDER.index(package(target)) > ORDER.index(package(module))
    ] == []


def test_adapters_never_import_one_another() -> None:
    assert [
        f"{module} imports {target}"
        for module in MODULES
        for target in own(module)
        if {package(module), package(target)} <= ADAPTERS and package(module) != package(target)
    ] == []


def test_the_import_graph_has_no_cycle_even_with_imports_inside_functions() -> None:
    graph = {module: own(module) for module in SOURCES}
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError
    assert set(order) == set(SOURCES)


def test_the_package_itself_loads_only_settings_records_and_leaves_at_its_import() -> None:
    at_import = [node.module for node in SOURCES["study"].body if isinstance(node, ast.ImportFrom)]
    assert {package(name) for name in at_import if name in SOURCES} <= {LEAVES, "settings", "records"}


@pytest.mark.parametrize("module", PACKAGES)
def test_a_package_says_what_it_is_for_and_imports_nothing_at_its_import(module: str) -> None:
    text = ast.get_docstring(SOURCES[module])
    assert text and text.count(".") >= 2, "what enters, what leaves, and what has no place in it"
    assert [ast.unparse(node) for node in SOURCES[module].body if isinstance(node, ast.Import | ast.ImportFrom)] in (
        [],
        ["from __future__ import annotations"],
    )


def test_every_class_has_a_name_of_its_own() -> None:
    names = [node.name for tree in SOURCES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_no_docstring_opens_as_a_question() -> None:
    documented = [
        (f"{module}:{getattr(node, 'lineno', 1)}", text.split()[0])
        for module, tree in SOURCES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node))
    ]
    assert documented
    assert [where for where, word in documented if word in {"What", "Whether", "How", "That", "Who", "Where"}] == []


@pytest.mark.parametrize("dependency", HOMES)
def test_a_heavy_dependency_has_one_home(dependency: str) -> None:
    users = {place(module) for module in SOURCES if any(name.split(".")[0] == dependency for name in imported(module))}
    assert users, "nothing uses it: drop the row"
    assert [
        user
        for user in users
        if not {user, user.split(".")[0]} & HOMES[dependency] and user.rpartition(".")[0] not in HOMES[dependency]
    ] == []


@pytest.mark.parametrize("home", sorted({name for names in HOMES.values() for name in names}))
def test_a_home_is_used(home: str) -> None:
    assert any(place(module) == home or place(module).startswith(f"{home}.") for module in SOURCES)


def test_other_programs_tables_are_read_where_these_programs_are_known() -> None:
    named = {
        module: found
        for module, tree in SOURCES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (found := TABLES.findall(node.value))
    }
    assert named, "nothing reads them: drop this test"
    assert {package(module) for module in named} <= {"search", "tracking"}


@cache
def loaded_by(module: str) -> set[str]:
    code = f"import {module}, sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    ("start", "package"),
    [
        ("study", "tensorflow"),
        ("study", "mlflow"),
        ("study", "optuna"),
        ("study", "sklearn"),
        ("study.estimators", "tensorflow"),
        ("study.estimators", "mlflow"),
        ("study.estimators", "optuna"),
        ("study.cli.program", "tensorflow"),
        ("study.cli.program", "mlflow"),
        ("study.cli.program", "optuna"),
        ("study.cli.program", "sklearn"),
        ("study.cli.program", "pandas"),
    ],
)
def test_a_start_is_free_of(start: str, package: str) -> None:
    assert package not in loaded_by(start)


@pytest.mark.parametrize("name", study.__all__)
def test_a_public_name_has_a_docstring(name: str) -> None:
    text = getattr(study, name).__doc__
    assert text and text.strip()
    assert not text.startswith(f"{name}("), "it is the signature that dataclass fills in"
