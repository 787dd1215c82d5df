"""Override text: what it searches, what it fixes, and that a value survives being written as an override."""

from decimal import Decimal
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from study.config import grammar, overrides
from study.errors import BadInput
from study.records.arrays import Scalar
from study.search.space import Choice, Domain, Interval

# a busy machine must not fail a property
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def space_of(line: str) -> dict[str, Domain]:
    space, fixed = overrides.split([line], {}, {})
    assert fixed == []
    return space


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("choice(a,b)", Choice("x", ("a", "b"))),
        ("choice(a)", Choice("x", ("a",))),
        ("a,b", Choice("x", ("a", "b"))),
        ("3,2.5,true,null", Choice("x", (3, 2.5, True, None))),
        ("choice(16, 32, 64)", Choice("x", (16, 32, 64))),
        ("[1,2],[3]", Choice("x", ("[1,2]", "[3]"))),
        ("choice([64,64],[32])", Choice("x", ("[64,64]", "[32]"))),
        ("1,'1'", Choice("x", (1, "'1'"))),
        ("true,'true'", Choice("x", (True, "'true'"))),
        ("null,'null'", Choice("x", (None, "'null'"))),
        ("'a,b','c=d'", Choice("x", ("'a,b'", "'c=d'"))),
        ("sort(3,1,2)", Choice("x", (1, 2, 3))),
        ("range(1,9)", Interval("x", 1, 8, whole=True)),
        ("range(3)", Interval("x", 0, 2, whole=True)),
        ("range(1,9,2)", Interval("x", 1, 7, step=2, whole=True)),
        ("range(9,1,-2)", Interval("x", 3, 9, step=2, whole=True)),
        ("range(1,2)", Choice("x", (1,))),
        ("range(0.5,2.5,0.5)", Interval("x", 0.5, 2.0, step=0.5)),
        ("float(range(1,4))", Interval("x", 1.0, 3.0, step=1.0)),
        ("tag(log,range(1,9))", Interval("x", 1, 8, log=True, whole=True)),
        ("interval(1e-5,1e-1)", Interval("x", 1e-5, 1e-1)),
        ("interval(1,10)", Interval("x", 1.0, 10.0)),
        ("int(interval(1,128))", Interval("x", 1, 128, whole=True)),
        ("tag(log,interval(1e-5,1e-1))", Interval("x", 1e-5, 1e-1, log=True)),
        ("tag(log,int(interval(1,128)))", Interval("x", 1, 128, log=True, whole=True)),
        ("int(tag(log,interval(1,128)))", Interval("x", 1, 128, log=True, whole=True)),
    ],
)
def test_the_text_of_a_search_is_this_domain(text: str, domain: Domain) -> None:
    assert space_of(f"x={text}") == {"x": domain}


@pytest.mark.parametrize("key", ["optimizer.learning_rate", "+x", "++x", "optimizer@second", "a/b"])
def test_a_searched_key_is_known_without_its_prefix_and_assigned_with_it(key: str) -> None:
    space = space_of(f"{key}=1,2")
    [plain] = space
    assert plain == key.lstrip("+") and overrides.assignments({plain: 1}, space) == [f"{key}=1"]


def test_a_glob_is_a_choice_among_a_group(tmp_path: Path) -> None:
    (tmp_path / "optimizer").mkdir()
    for name in ("adam", "adamax", "sgd"):
        (tmp_path / "optimizer" / f"{name}.yaml").write_text(f"name: {name}\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        space, _ = overrides.split(["optimizer=glob(ada*)"], {}, {}, loader)
    assert space == {"optimizer": Choice("optimizer", ("adam", "adamax"))}


@pytest.mark.parametrize("text", ["range(0.3,0.9,0.1)", "range(0.7,1.0,0.1)", "range(0.1,0.5,0.1)"])
def test_a_range_of_floats_has_the_step_that_was_written(text: str) -> None:
    domain = space_of(f"x={text}")["x"]
    assert isinstance(domain, Interval) and domain.step == pytest.approx(0.1)


@pytest.mark.parametrize("text", ["range(0.3,0.9,0.1)", "range(0.7,1.0,0.1)"])
def test_a_range_of_floats_is_divided_by_its_step(text: str) -> None:
    domain = space_of(f"x={text}")["x"]
    assert isinstance(domain, Interval) and domain.step is not None
    # this is how optuna.distributions decides whether to cut
    assert (Decimal(str(domain.high)) - Decimal(str(domain.low))) % Decimal(str(domain.step)) == 0


def test_a_range_with_a_step_on_a_log_scale_is_refused_or_keeps_its_members() -> None:
    try:
        domain = space_of("x=tag(log,range(1,9,2))")["x"]
    except BadInput:
        return
    assert isinstance(domain, Choice) and domain.values == (1, 3, 5, 7)


def test_a_shuffled_choice_is_the_same_domain_at_each_launch() -> None:
    assert len({str(space_of("x=shuffle(1,2,3,4,5,6,7,8,9)")["x"]) for _ in range(5)}) == 1


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "",
        "x=[1",
        "x='a",
        "x=choice(",
        "x=choice()",
        "x=interval(1",
        "x=interval(a,b)",
        "x=foo(1)",
        "x = 3",
        "x=choice(a,a)",
        "x=1,1",
        "x=interval(2,1)",
        "x=interval(1,1)",
        "x=interval(nan,1)",
        "x=interval(0,inf)",
        "x=tag(log,interval(0,1))",
        "x=tag(log,interval(-1,1))",
        "x=range(1,1)",
        "x=range(5,1)",
    ],
)
def test_bad_grammar_and_bad_bounds_are_bad_input(line: str) -> None:
    with pytest.raises(BadInput) as bad:
        overrides.split([line], {}, {})
    assert [fault.key for fault in bad.value.faults] == [line.split("=")[0]]


@pytest.mark.parametrize("text", ["range(1,9,0)", "int(range(1,5,0.5))"])
def test_a_range_without_a_step_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput):
        space_of(f"x={text}")


def test_all_faults_of_all_lines_are_told_at_once() -> None:
    with pytest.raises(BadInput) as grammar:
        overrides.split(["a=[1", "b=3", "c=foo(1)"], {}, {})
    assert [fault.key for fault in grammar.value.faults] == ["a", "c"]
    with pytest.raises(BadInput) as bounds:
        overrides.split(["a=interval(2,1)", "b=1,2", "c=range(1,1)"], {}, {})
    assert [fault.key for fault in bounds.value.faults] == ["a", "c"]


@pytest.mark.parametrize(
    "line",
    [
        "x=1",
        "x=0.001",
        "x=null",
        "x=",
        "x=''",
        "x='a,b'",
        'x="q"',
        r"x='it\'s'",
        "x=[1,2]",
        "x={a:1}",
        "+x=3",
        "++x=3",
        "g@p=a",
        "~x",
    ],
)
def test_what_is_not_searched_is_passed_on_as_it_is_written(line: str) -> None:
    assert overrides.split([line], {}, {}) == ({}, [line])


def test_a_conditional_deletion_keeps_its_condition() -> None:
    assert overrides.split(["~x=3"], {}, {}) == ({}, ["~x=3"])


PARAMS = {"x": "choice(1,2)", "y": "interval(0,1)", "k": 3}
DEFAULTS = {"d": "choice(5,6)", "e": "choice(7,8)"}
X, Y = Choice("x", (1, 2)), Interval("y", 0.0, 1.0)
D, E = Choice("d", (5, 6)), Choice("e", (7, 8))


@pytest.mark.parametrize(
    ("lines", "params", "defaults", "space", "fixed"),
    [
        # the command line replaces params key by key
        ([], PARAMS, {}, {"x": X, "y": Y}, ["k=3"]),
        (["x=choice(5,6)"], PARAMS, {}, {"x": Choice("x", (5, 6)), "y": Y}, ["k=3"]),
        (["x=7"], PARAMS, {}, {"y": Y}, ["k=3", "x=7"]),
        (["k=4,5"], PARAMS, {}, {"x": X, "y": Y, "k": Choice("k", (4, 5))}, []),
        (["z=1,2"], PARAMS, {}, {"x": X, "y": Y, "z": Choice("z", (1, 2))}, ["k=3"]),
        # default_params count only when nothing else is searched
        ([], {}, DEFAULTS, {"d": D, "e": E}, []),
        (["q=3"], {}, DEFAULTS, {"d": D, "e": E}, ["q=3"]),
        ([], {"k": 3}, DEFAULTS, {"d": D, "e": E}, ["k=3"]),
        (["d=9"], {}, DEFAULTS, {"e": E}, ["d=9"]),
        (["z=1,2"], {}, DEFAULTS, {"z": Choice("z", (1, 2))}, []),
        (["d=1,2"], {}, DEFAULTS, {"d": Choice("d", (1, 2))}, []),
        ([], PARAMS, DEFAULTS, {"x": X, "y": Y}, ["k=3"]),
        (["x=7", "y=0.5"], PARAMS, DEFAULTS, {"d": D, "e": E}, ["k=3", "x=7", "y=0.5"]),
        ([], {}, {}, {}, []),
    ],
)
def test_the_command_line_then_params_then_defaults(
    lines: list[str], params: dict[str, object], defaults: dict[str, object], space: dict[str, Domain], fixed: list[str]
) -> None:
    found, kept = overrides.split(lines, params, defaults)
    assert found == space
    assert sorted(kept) == sorted(fixed)


@pytest.mark.parametrize(
    ("value", "line"), [(3, "x=3"), (None, "x=null"), (0.5, "x=0.5"), ([32, 32], "x=[32,32]"), ("adam", "x=adam")]
)
def test_a_value_in_params_that_is_not_text_is_fixed(value: object, line: str) -> None:
    assert overrides.split([], {"x": value}, {}) == ({}, [line])


def test_a_list_in_params_is_a_list_as_hydra_hands_it_over_too() -> None:
    assert overrides.split([], OmegaConf.create({"x": [32, 32]}), {}) == ({}, ["x=[32,32]"])


def test_a_mapping_in_params_is_refused_or_searched() -> None:
    try:
        space, _ = overrides.split([], {"optimizer": {"learning_rate": "interval(0,1)"}}, {})
    except BadInput:
        return
    assert list(space) == ["optimizer.learning_rate"]


TRICKY = st.text(st.sampled_from(" ,'\"\\=[]{}()$:@~+#.-01eEtruefalsnNi_/é"), max_size=10)
TEXTS = (
    TRICKY
    | st.text(st.characters(exclude_categories=("C",)), max_size=12)
    | st.sampled_from(
        ["1", "true", "null", "1e3", "nan", "inf", "a=b", "[1,2]", "{a:1}", "'", '"', "\\", "\\'", "choice(a,b)", "${x}"]
    )
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS


def read_back(line: str) -> object:
    return grammar.parse([line])[0].value()


@given(SCALARS)
@settings(UNTIMED, max_examples=300)
def test_an_encoded_value_is_read_back_as_the_same_value(value: Scalar) -> None:
    found = read_back(f"key={grammar.encode(value)}")
    assert found == value and type(found) is type(value)


@given(st.lists(SCALARS, max_size=4))
@settings(UNTIMED, max_examples=100)
def test_an_encoded_list_is_read_back_as_the_same_list(values: list[Scalar]) -> None:
    assert read_back(f"key={grammar.encode(values)}") == values


@given(SCALARS)
@settings(UNTIMED, max_examples=100)
def test_a_fixed_value_stays_the_same_value(value: Scalar) -> None:
    [line] = overrides.split([f"key={grammar.encode(value)}"], {}, {})[1]
    found = read_back(line)
    assert found == value and type(found) is type(value)


@given(st.lists(SCALARS, min_size=2, max_size=4).filter(lambda values: len(set(values)) == len(values)))
@settings(UNTIMED, max_examples=100)
def test_a_sampled_choice_is_assigned_as_the_value_that_was_written(values: list[Scalar]) -> None:
    choice = space_of(f"key={','.join(map(grammar.encode, values))}")["key"]
    assert isinstance(choice, Choice)
    found = [read_back(line) for each in choice.values for line in overrides.assignments({"key": each}, {"key": choice})]
    assert list(map(repr, found)) == list(map(repr, values))


def test_an_override_of_three_hundred_characters_works() -> None:
    assert read_back(f"key={grammar.encode('x' * 300)}") == "x" * 300
