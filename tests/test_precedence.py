"""What decides where several settings are given: what the default search leaves alone, what clashes, and what a name holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from study.clock import Clock
from study.config import composition, grammar, precedence, source
from study.config.source import OWN, Source
from study.errors import BadInput
from study.runner import planning
from study.runner.planning import Plan

RATE, BATCH, WIDTH, DEPTH = "optimizer.learning_rate", "training.batch_size", "model.width", "model.depth"
DEFAULT = ["optimizer", RATE, BATCH, WIDTH, DEPTH]


def planned(lines: Sequence[str], chosen: Source = OWN) -> Plan:
    """The study that a multirun of these overrides would be."""
    given = [*precedence.allow_searched_kinds(grammar.quote_columns(lines)), "tracking=none"]
    with chosen.application() as application:
        loader = application.config_loader
        config = loader.load_configuration(chosen.name, [*given, "hydra.mode=MULTIRUN"], RunMode.MULTIRUN)
        sweeper = SimpleNamespace(config=config, launcher=object(), hydra_context=SimpleNamespace(config_loader=loader))
        settings = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
        return planning.check(sweeper, settings, source.command_line(config)[0], Clock())  # type: ignore[arg-type]


pytestmark = pytest.mark.usefixtures("empty")


@pytest.mark.parametrize(
    ("given", "searched", "units"),
    [
        ([], DEFAULT, (16,)),
        (["model.units=[64,64]"], ["optimizer", RATE, BATCH], (64, 64)),
        pytest.param(["++model.units=[64,64]"], ["optimizer", RATE, BATCH], (64, 64), marks=pytest.mark.long),
        (["model={units: [8]}"], ["optimizer", RATE, BATCH], (8,)),
        pytest.param(["++model={units: [8], dropout: 0.1}"], ["optimizer", RATE, BATCH], (8,), marks=pytest.mark.long),
        pytest.param(["model={width: 8}"], ["optimizer", RATE, BATCH, DEPTH], (8,), marks=pytest.mark.long),
        ([f"~{BATCH}"], ["optimizer", RATE, WIDTH, DEPTH], (16,)),
        (["model.width=8", "model.depth=3"], ["optimizer", RATE, BATCH], (8, 8, 8)),
        pytest.param(["optimizer=sgd"], [RATE, BATCH, WIDTH, DEPTH], (16,), marks=pytest.mark.long),
        (["optimizer={learning_rate: 0.1}"], ["optimizer", BATCH, WIDTH, DEPTH], (16,)),
        pytest.param([f"++{BATCH}=8"], ["optimizer", RATE, WIDTH, DEPTH], (16,), marks=pytest.mark.long),
        ([f"{BATCH}=null"], ["optimizer", RATE, WIDTH, DEPTH], (16,)),
        # the command line replaces what an experiment searches, and what it sets, also by another name
        (["+experiment=widths", "model.units=[8],[8,8]"], ["model.units"], (8,)),
        (["+experiment=depths", "model.units=[8],[8,8]"], ["model.units"], (8,)),
        (["+experiment=smoke", "model.width=4,8"], [RATE, WIDTH], (4,)),
    ],
)
def test_the_default_search_leaves_alone_what_is_given(given: list[str], searched: list[str], units: tuple[int, ...]) -> None:
    plan = planned(given)
    assert list(plan.space) == searched and plan.base.model.units == units


def test_the_default_search_is_narrowed_to_what_goes_with_what_is_given() -> None:
    assert str(planned(["optimizer.momentum=0.9"]).space["optimizer"]) == "choice(sgd, rmsprop)"
    assert str(planned(["optimizer.beta_1=0.8"]).space["optimizer"]) == "choice(adam)"
    assert str(planned(["data=noise", "data.rows=60"]).space[BATCH]) == "choice(16, 32)"


EXPERIMENT = """# @package _global_
defaults:
  - override /optimizer: adam
model: {units: [4]}
training: {batch_size: 32}
"""
CONFIG = "defaults: [config, override optimizer: sgd, _self_]\noptimizer: {learning_rate: 0.01}\nmodel: {depth: 2}\n"


def own(folder: Path) -> Source:
    (folder / "experiment").mkdir()
    (folder / "experiment" / "mine.yaml").write_text(EXPERIMENT)
    (folder / "other.yaml").write_text(CONFIG)
    return Source(folder=str(folder))


def test_what_a_file_gives_is_left_alone_also_where_it_is_the_default(empty: Path) -> None:
    source = own(empty)
    plan = planned(["+experiment=mine"], source)
    assert list(plan.space) == [RATE] and plan.base.model.units == (4,) and plan.base.training.batch_size == 32
    assert plan.identity["optimizer"] == "adam" and plan.command.endswith(f"--config-dir {empty} +experiment=mine tracking=none")
    other = Source("other", None, str(empty))
    plan = planned([], other)
    assert list(plan.space) == [BATCH, WIDTH] and plan.base.model.units == (16, 16)
    assert list(planned(["model.units=[8]"], other).space) == [BATCH]
    assert planned(["model.units=[8]"], other).base.model.units == (8,)
    found = planned([f"hydra.searchpath=[{empty}]", "+experiment=mine"])
    assert list(found.space) == [RATE] and found.base.model.units == (4,)


def test_a_setting_is_known_without_its_prefix() -> None:
    plus, plain = planned(["++model.width=4,8"]), planned(["model.width=4,8"])
    assert plus.name == plain.name and list(plus.space) == ["model.width"]


FIXED = [
    ["model.units=[64]"],
    ["model.width=64"],
    ["model.width=4,8"],
    ["model.width=4,8", "+experiment=smoke"],
    ["optimizer=adam,sgd", "optimizer.beta_1=tag(optimizer:adam,choice(0.8))"],
    ["optimizer=adam,sgd", "optimizer.beta_1=tag(optimizer:adam,choice(0.7))"],
]
MORE_FIXED = [
    [],
    ["model.units=[64,64]"],
    ["model.depth=1"],
    ["model.dropout=0.1"],
    ["optimizer.momentum=0.9"],
    ["optimizer.momentum=0.8"],
    ["optimizer=sgd"],
    ["optimizer=adam,sgd"],
    ["optimizer=adam,sgd", "optimizer.ema=0.9"],
    ["optimizer.learning_rate=interval(0.12345671,0.5)"],
    ["optimizer.learning_rate=interval(0.12345672,0.5)"],
    ["sampler=random"],
    ["sampler.n_startup_trials=5"],
    ["pruner=median"],
]


@pytest.mark.parametrize("commands", [FIXED, pytest.param([*FIXED, *MORE_FIXED], marks=pytest.mark.long)], ids=["closest", "all"])
def test_two_commands_that_differ_in_what_is_fixed_have_two_names(commands: list[list[str]]) -> None:
    assert len({planned(each).name for each in commands}) == len(commands)


def test_two_tables_have_two_names_wherever_they_lie(empty: Path) -> None:
    for name in ("a", "b"):
        (empty / f"{name}.csv").write_text("x,y\n" + "".join(f"{number},{number * 2.5}\n" for number in range(120)))
    tables = ["data=table", "data.path=a.csv,b.csv", "data.target=y"]
    before = planned(tables).name
    (empty / "b.csv").write_text((empty / "b.csv").read_text().replace("\n7,", "\n7.5,"))
    assert planned(tables).name != before


def test_a_setting_of_another_kind_than_the_first_is_in_the_name(empty: Path) -> None:
    (empty / "optimizer").mkdir()
    stock = (source.config_folder() / "optimizer" / "sgd.yaml").read_text()
    names = set()
    for momentum in ("0.4", "0.5"):
        (empty / "optimizer" / "mine.yaml").write_text(stock.replace("momentum: 0.0", f"momentum: {momentum}"))
        names.add(planned(["optimizer=adam,mine"], Source(folder=str(empty))).name)
    assert len(names) == 2


def test_what_is_searched_for_is_in_the_name(empty: Path) -> None:
    aims = ["loss", "mae", "[loss,size]", "[size,loss]"]
    names = [planned([f"hydra.sweeper.objective={aim}"]).name for aim in aims]
    assert len(set(names)) == len(aims) and names[0] == planned([]).name


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ([], "diabetes-255634"),
        (["sampler=tpe", "pruner=none", "sampler.n_startup_trials=10"], "diabetes-255634"),
        (["optimizer=adam,sgd"], "diabetes-fad34e"),
        (["+experiment=optimizers"], "optimizers-c39401"),
        (["optimizer.learning_rate=tag(log,interval(1e-4,1e-1))", "model.depth=range(1,4)"], "diabetes-59a451"),
    ],
)
def test_studies_of_earlier_versions_keep_their_names_with_their_rows_and_replicates(given: list[str], name: str) -> None:
    assert planned([*given, "data.test_fraction=0", "replicates.count=8"]).name == name
    assert planned(given).name != name


def test_the_search_for_tables_races_and_leaves_a_setting_of_yours_alone() -> None:
    Path("t.csv").write_text("x,y\n" + "".join(f"{number},{number % 7}.5\n" for number in range(80)))
    plan = planned(["+experiment=table", "data.path=t.csv", "data.target=y", "model.depth=1"])
    assert list(plan.space) == [RATE, "optimizer.weight_decay", WIDTH]
    assert plan.rules is not None and plan.base.training.patience == plan.base.training.epochs
    assert plan.first == ["the default setting is tried first: learning_rate 0.0100, weight_decay 0.100, width 64"]


@pytest.mark.parametrize(
    ("layers", "resets"),
    [
        ([{"model.units": [8]}, {"model.width": 4}], []),
        ([{"model.width": 4, "model.depth": 2}, {"model.units": [8]}], ["model.width=null", "model.depth=null"]),
        ([{"model.depth": 2}, {"model.units": [8]}, {"model.depth": 3}], []),
        ([{"model.width": 2}, {"model.units": [8]}, {"model.units": [9]}], ["model.width=null"]),
        ([{"model.units": [8], "model.width": None}], []),
    ],
)
def test_sizes_undo_a_width_or_depth_of_less_precedence(layers: list[dict[str, object]], resets: list[str]) -> None:
    assert precedence.shape_resets(layers) == resets


def test_of_the_programs_own_files_experiments_alone_set_sizes() -> None:
    """`source.only_stock` relies on it."""
    with_sizes = set()
    for file in source.config_folder().rglob("*.yaml"):
        content = precedence.flattened(OmegaConf.to_container(OmegaConf.load(file)))
        if {precedence.UNITS, WIDTH, DEPTH} & {key for key, _ in content}:
            with_sizes.add(file.parent.name)
    assert with_sizes == {"experiment"}


def test_the_hidden_layers_of_one_trial_are_those_that_were_given_last() -> None:
    assert composition.compose(["+experiment=depths", "model.units=[8,8,8]"]).model.units == (8, 8, 8)
    assert composition.compose(["+experiment=smoke", "model.width=4"]).model.units == (4,)
    with pytest.raises(BadInput, match=r"model.units=\[8\] beside model.depth=2"):
        composition.compose(["model.units=[8]", "model.depth=2"])


QUOTED = [
    ("data.target=größe", "'data.target=\"größe\"'"),
    ("data.target=sepal length (cm)", "'data.target=\"sepal length (cm)\"'"),
    ("data.target=größe,x", '\'data.target="größe,x"\' (one column) or \'data.target="größe","x"\' (several columns)'),
    ("data.target=choice(null,x)", '\'data.target="null","x"\''),
    ("data.drop=[größe, x y,2019]", '\'data.drop=["größe","x y","2019"]\''),
    ("data.path=my (1).csv", "'data.path=\"my (1).csv\"'"),
    ("data.decimal=,", "'data.decimal=\",\"'"),
]


@pytest.mark.parametrize(("line", "hint"), QUOTED)
def test_a_text_that_needs_quotes_is_shown_with_them_and_they_are_right(line: str, hint: str) -> None:
    with pytest.raises(BadInput) as bad:
        grammar.parse([line])
    assert str(bad.value).endswith(f"; with quotes: {hint}") and len(bad.value.faults) == 1


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("data.target=2019", 'data.target="2019"'),
        ("data.target=1e3", 'data.target="1e3"'),
        ("data.target=null", 'data.target="null"'),
        ("++data.target=true", '++data.target="true"'),
        ("data.target=null,largo", 'data.target="null",largo'),
        ('data.target=choice("2019",x)', 'data.target="2019",x'),
        ("data.drop=[2019,null,x]", 'data.drop=["2019","null",x]'),
        ("data.drop=[2019],[x]", 'data.drop=["2019"],[x]'),
        ("data.target=a,b", "data.target=a,b"),
        ("data.target=choice(a,b)", "data.target=choice(a,b)"),
        ("data.drop=[]", "data.drop=[]"),
        ("data.target=größe", "data.target=größe"),
        ("training.epochs=3", "training.epochs=3"),
    ],
)
def test_a_columns_name_is_a_text_whatever_it_looks_like(line: str, named: str) -> None:
    assert grammar.quote_columns([line]) == [named]


def test_a_column_of_digits_is_known_in_a_file_too(empty: Path) -> None:
    (empty / "t.csv").write_text("x,2019,2020\n" + "".join(f"{number},{number * 1.5},{-number}\n" for number in range(60)))
    (empty / "experiment").mkdir()
    (empty / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults: [override /data: table]\ndata: {path: t.csv, target: 2019, drop: [2020]}\n"
    )
    plan = planned(["+experiment=mine", "seed=1,2"], Source(folder=str(empty)))
    assert plan.identity["data.target"] == "2019" and plan.identity["data.drop"] == ["2020"]


def test_a_jobs_folder_is_named_after_its_settings_and_not_after_what_the_sweeper_fills_in() -> None:
    subdir = "hydra.sweep.subdir=${hydra.job.override_dirname}"
    plan = planned(["optimizer=adam,sgd", "training.epochs=2", "replicates.count=2", subdir])
    config = plan.trials.compose(
        [*plan.trials.fixed, "optimizer=sgd", "study.name=x", "study.trial=1", "study.storage='sqlite:////tmp/o.db'"]
    )
    assert config.hydra.sweep.subdir == "optimizer=sgd,replicates.count=2,tracking=none,training.epochs=2"
    assert "'hydra.sweep.subdir=${hydra.job.override_dirname}'" in plan.command
