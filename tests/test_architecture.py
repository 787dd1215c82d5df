"""The shape of the code: imports point downward, each heavy dependency has one home, and a start loads little."""

import ast
import graphlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import study

ROOT = Path(__file__).parent.parent

LAYERS = (
    {"errors", "clock", "flags", "processes", "redaction"},
    {"seeds", "settings", "spec", "records", "space", "places", "sqlite", "batches", "sampling"},
    {
        "network",
        "metrics",
        "dataset",
        "number_texts",
        "strata",
        "table_files",
        "table_text",
        "tables",
        "encoding",
        "fingerprints",
        "inputs",
        "distance",
        "disagreement",
        "intervals",
        "convergence",
        "alignment",
        "canonical",
        "matching",
        "artifacts",
        "attribution",
        "barrier",
        "blame",
        "effects",
        "objectives",
        "examination",
        "provenance",
        "ranking",
        "representation",
        "searchable",
        "summaries",
        "verdict",
        "comparison",
        "factor",
    },
    {"decode", "search", "tracking", "cohort", "figures"},
    {
        "starting",
        "trial",
        "sweep",
        "job",
        "report",
        "answers",
        "explanations",
        "factors",
        "side_by_side",
        "portraits",
        "conclusions",
        "findings",
        "pages",
        "reproduction",
        "terminal",
        "estimate",
        "doctor",
        "details",
        "opened",
        "exporting",
        "removal",
        "champion",
    },
    {
        "grammar",
        "precedence",
        "overrides",
        "composition",
        "planning",
        "rehearsal",
        "launching",
        "commands",
        "completion",
        "cli",
        "__main__",
        "hydra_plugins",
    },
)
ADAPTERS, TOP = LAYERS[3], LAYERS[5]

HOMES = {
    "tensorflow": {"cohort"},
    "keras": {"cohort"},
    "optuna": {"search"},
    "sqlalchemy": {"search"},
    "mlflow": {"tracking"},
    "rich": {"terminal"},
    "matplotlib": {"figures"},
    "plotly": {"pages"},
    "jinja2": {"pages"},
    "charset_normalizer": {"table_text"},
    "pyarrow": {"artifacts", "table_files", "tables"},
    "pandas": {"opened", "tracking"},
    "sklearn": {"dataset"},
    "click": {"cli", "commands", "completion"},
    "hydra": TOP,
    "omegaconf": {"decode", "job"} | TOP,
}


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    module_name(file): ast.parse(file.read_text())
    for folder in ("study", "hydra_plugins")
    for file in ROOT.glob(f"{folder}/**/*.py")
}


def imported(module: str, *, run_time_only: bool = False) -> set[str]:
    """Everything that a module imports, inside functions too: of the project's own modules, the submodule that is meant."""
    tree = SOURCES[module]
    skipped = set()
    if run_time_only:
        blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test).endswith("TYPE_CHECKING")]
        skipped = {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}
    found = set()
    for node in set(ast.walk(tree)) - skipped:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import, which this test doesn't resolve"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in SOURCES else str(node.module) for name in names}
    return found


def own(module: str) -> set[str]:
    return imported(module) & set(SOURCES)


def unit(module: str) -> str:
    """The name that a module has in LAYERS; a package is one unit."""
    first, *rest = module.split(".")
    return first if first == "hydra_plugins" else (rest or ["__init__"])[0]


def layer(module: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if unit(module) in names)


def test_every_module_has_one_layer() -> None:
    units = sorted({unit(module) for module in SOURCES} - {"__init__"})
    assert units == sorted(name for names in LAYERS for name in names)


def test_imports_point_downward_or_stay_in_their_layer() -> None:
    assert [
        f"{module} imports {target}"
        for module in SOURCES
        if unit(module) != "__init__"
        for target in own(module)
        if unit(target) == "__init__" or layer(target) > layer(module)
    ] == []


def test_adapters_never_import_one_another() -> None:
    assert [
        f"{module} imports {target}"
        for module in SOURCES
        for target in own(module)
        if {unit(module), unit(target)} <= ADAPTERS and unit(module) != unit(target)
    ] == []


def test_the_import_graph_has_no_cycle_even_with_imports_inside_functions() -> None:
    graph = {module: own(module) for module in SOURCES}
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError
    assert set(order) == set(SOURCES)


def test_the_package_itself_loads_only_the_two_lowest_layers_at_its_import() -> None:
    at_import = [node.module for node in SOURCES["study"].body if isinstance(node, ast.ImportFrom)]
    assert [name for name in at_import if name in SOURCES and layer(name) > 1] == []


@pytest.mark.parametrize("package", HOMES)
def test_a_heavy_dependency_has_one_home(package: str) -> None:
    users = {
        unit(module) for module in SOURCES if any(name.split(".")[0] == package for name in imported(module, run_time_only=True))
    }
    assert users, "nothing uses it: drop the row"
    assert users <= HOMES[package]


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
        ("study.cli", "tensorflow"),
        ("study.cli", "mlflow"),
        ("study.cli", "optuna"),
        ("study.cli", "sklearn"),
        ("study.cli", "pandas"),
    ],
)
def test_a_start_is_free_of(start: str, package: str) -> None:
    assert package not in loaded_by(start)


@pytest.mark.parametrize("name", study.__all__)
def test_a_public_name_has_a_docstring(name: str) -> None:
    text = getattr(study, name).__doc__
    assert text and text.strip()
    assert not text.startswith(f"{name}("), "it is the signature that dataclass fills in"
