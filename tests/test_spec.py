"""Settings: what is refused and how it is told, and that nothing is lost on the way to a mapping and back."""

import dataclasses
import math
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from study import spec
from study.errors import BadInput, Fault
from study.settings.model import ACTIVATIONS
from study.settings.optimizer import SGD
from study.settings.rules import Section
from study.settings.training import VARIABLE_SOURCES
from study.spec import TrialSpec

# a busy machine must not fail a property
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def faults_of(mapping: dict[str, Any]) -> list[Fault]:
    with pytest.raises(BadInput) as bad:
        spec.build(mapping)
    return list(bad.value.faults)


def adam(**changed: object) -> dict[str, Any]:
    return {"optimizer": {"name": "adam", **changed}}


def sgd(**changed: object) -> dict[str, Any]:
    return {"optimizer": {"name": "sgd", **changed}}


BAD = [
    (adam(learning_rate=-1), "optimizer.learning_rate"),
    (adam(learning_rate=0), "optimizer.learning_rate"),
    (adam(learning_rate=math.nan), "optimizer.learning_rate"),
    (adam(learning_rate=math.inf), "optimizer.learning_rate"),
    (adam(learning_rate="abc"), "optimizer.learning_rate"),
    (adam(learning_rate="0.1"), "optimizer.learning_rate"),
    (adam(learning_rate=True), "optimizer.learning_rate"),
    (adam(learning_rate=None), "optimizer.learning_rate"),
    (adam(learning_rate=[0.1]), "optimizer.learning_rate"),
    (adam(weight_decay=-1e-9), "optimizer.weight_decay"),
    (adam(beta_1=1), "optimizer.beta_1"),
    (adam(beta_2=1.5), "optimizer.beta_2"),
    (adam(epsilon=0), "optimizer.epsilon"),
    # single precision would make these 0, 1 and infinity
    (adam(epsilon=1e-50), "optimizer.epsilon"),
    (adam(beta_1=1 - 1e-12), "optimizer.beta_1"),
    (adam(weight_decay=1e39), "optimizer.weight_decay"),
    (adam(momentum=0.9), "optimizer.momentum"),
    (adam(lrr=3), "optimizer.lrr"),
    (sgd(momentum=2), "optimizer.momentum"),
    (sgd(nesterov=1), "optimizer.nesterov"),
    (sgd(nesterov="true"), "optimizer.nesterov"),
    ({"optimizer": {"name": "rmsprop", "rho": 1}}, "optimizer.rho"),
    ({"optimizer": {"name": "adma"}}, "optimizer"),
    ({"optimizer": {"learning_rate": 0.1}}, "optimizer"),
    ({"optimizer": "adam"}, "optimizer"),
    ({"optimizer": None}, "optimizer"),
    ({"schedule": {"name": "cosin"}}, "schedule"),
    ({"init": {"name": "he_norml"}}, "init"),
    ({"init": {"name": "random_normal", "stddev": -1}}, "init.stddev"),
    ({"init": {"name": "random_normal", "mean": math.nan}}, "init.mean"),
    ({"init": {"name": "zeros", "stddev": 1}}, "init.stddev"),
    ({"loss": {"name": "mee"}}, "loss"),
    ({"data": {"name": "digit"}}, "data"),
    ({"data": {"name": "digits", "validation_fraction": 0}}, "data.validation_fraction"),
    ({"data": {"name": "digits", "validation_fraction": 1}}, "data.validation_fraction"),
    ({"data": {"name": "digits", "path": "here.csv"}}, "data.path"),
    ({"model": {"units": [0]}}, "model.units"),
    ({"model": {"units": [2.5]}}, "model.units"),
    ({"model": {"units": [1e9]}}, "model.units"),
    ({"model": {"units": [10**9]}}, "model.units"),
    ({"model": {"units": [True]}}, "model.units"),
    ({"model": {"units": []}}, "model.units"),
    ({"model": {"units": [[64]]}}, "model.units"),
    ({"model": {"units": 64}}, "model.units"),
    ({"model": {"units": "64"}}, "model.units"),
    ({"model": {"units": {"0": 64}}}, "model.units"),
    ({"model": {"activation": "rellu"}}, "model.activation"),
    ({"model": {"activation": ["relu"]}}, "model.activation"),
    ({"model": {"dropout": 1.5}}, "model.dropout"),
    ({"model": 3}, "model"),
    ({"training": {"epochs": 0}}, "training.epochs"),
    ({"training": {"epochs": -1}}, "training.epochs"),
    ({"training": {"epochs": 1.5}}, "training.epochs"),
    ({"training": {"batch_size": 0}}, "training.batch_size"),
    ({"training": {"batch_size": 2.5}}, "training.batch_size"),
    ({"training": {"leg_epochs": 0}}, "training.leg_epochs"),
    ({"replicates": {"count": 0}}, "replicates.count"),
    ({"replicates": {"first": -1}}, "replicates.first"),
    ({"replicates": {"vary": "init"}}, "replicates.vary"),
    ({"replicates": {"vary": ["init", "init"]}}, "replicates.vary"),
    ({"replicates": {"vary": ["weather"]}}, "replicates.vary"),
    ({"seed": 1.5}, "seed"),
    ({"seed": -1}, "seed"),
    ({"seed": 2**32}, "seed"),
    ({"seed": True}, "seed"),
    ({"seed": "0"}, "seed"),
    ({"lrr": 3}, "lrr"),
    ({"optimiser": {"name": "adam"}}, "optimiser"),
]


@pytest.mark.parametrize(("mapping", "key"), BAD)
def test_a_bad_setting_is_told_under_its_key(mapping: dict[str, Any], key: str) -> None:
    assert [fault.key for fault in faults_of(mapping)] == [key]


@pytest.mark.parametrize(
    "mapping",
    [
        pytest.param(adam(learning_rate=10**400), id="a whole number beyond the floats"),
        pytest.param({"optimizer": {"name": ["adam"]}}, id="a list for a name"),
        pytest.param({"data": {"name": {}}}, id="a mapping for a name"),
    ],
)
def test_a_setting_of_an_odd_type_is_a_fault_too(mapping: dict[str, Any]) -> None:
    assert len(faults_of(mapping)) == 1


def test_all_faults_are_told_at_once_a_line_each() -> None:
    mapping = {
        "data": {"name": "digits", "validation_fraction": 2},
        "optimizer": {"name": "sgd", "learning_rate": -1, "momentum": 2, "beta_1": 0.9},
        "model": {"units": [0], "activation": "sigmoid"},
        "init": {"name": "xavier"},
        "training": {"epochs": 0, "batch_size": 0},
        "seed": -1,
        "sede": 1,
    }
    with pytest.raises(BadInput) as bad:
        spec.build(mapping)
    assert sorted(fault.key for fault in bad.value.faults) == [
        "data.validation_fraction",
        "init",
        "model.activation",
        "model.units",
        "optimizer.beta_1",
        "optimizer.learning_rate",
        "optimizer.momentum",
        "sede",
        "seed",
        "training.batch_size",
        "training.epochs",
    ]
    assert str(bad.value).splitlines() == [f"{f.key}: got {f.got!r}; valid: {f.valid}" for f in bad.value.faults]


@pytest.mark.parametrize(
    ("mapping", "nearest"),
    [
        ({"optimizer": {"name": "adma"}}, "did you mean adam?"),
        ({"optimizer": "rmspop"}, "did you mean rmsprop?"),
        ({"data": {"name": "digit"}}, "did you mean digits?"),
        ({"init": {"name": "he_norml"}}, "did you mean he_normal?"),
        ({"loss": {"name": "mes"}}, "did you mean mse?"),
        ({"schedule": {"name": "constnat"}}, "did you mean constant?"),
        ({"optimiser": {}}, "did you mean optimizer?"),
        (adam(learning_rat=0.1), "did you mean learning_rate?"),
        ({"training": {"epoch": 3}}, "did you mean epochs?"),
        ({"model": {"activation": "rellu"}}, "relu"),
        ({"replicates": {"vary": ["ordr"]}}, "order"),
    ],
)
def test_the_nearest_match_is_named(mapping: dict[str, Any], nearest: str) -> None:
    [fault] = faults_of(mapping)
    assert nearest in fault.valid


def test_a_name_like_no_other_gets_no_guess_but_all_names() -> None:
    [fault] = faults_of({"optimizer": {"name": "zzz"}})
    assert fault == Fault("optimizer", "zzz", "adam, sgd, rmsprop")


def test_control_characters_are_shown_and_not_sent_to_the_terminal() -> None:
    [fault] = faults_of({"optimizer": {"name": "\x1b[2J"}})
    assert "\x1b" not in str(fault)


@pytest.mark.parametrize(
    ("data", "loss", "resolved"),
    [
        ("diabetes", "auto", "mse"),
        ("digits", "auto", "sparse_categorical_crossentropy"),
        ("diabetes", "mse", "mse"),
        ("digits", "sparse_categorical_crossentropy", "sparse_categorical_crossentropy"),
    ],
)
def test_the_loss_is_resolved_by_the_data(data: str, loss: str, resolved: str) -> None:
    assert spec.build({"data": {"name": data}, "loss": {"name": loss}}).loss.name == resolved


@pytest.mark.parametrize(("data", "loss"), [("diabetes", "sparse_categorical_crossentropy"), ("digits", "mse")])
def test_a_loss_of_the_other_task_is_refused(data: str, loss: str) -> None:
    [fault] = faults_of({"data": {"name": data}, "loss": {"name": loss}})
    assert fault.key == "loss" and fault.got == loss and data in fault.valid


def test_a_loss_is_not_blamed_for_faulty_data() -> None:
    mapping = {"data": {"name": "digits", "validation_fraction": 2}, "loss": {"name": "sparse_categorical_crossentropy"}}
    assert [fault.key for fault in faults_of(mapping)] == ["data.validation_fraction"]


POSITIVE = st.floats(0, 3.4e38, exclude_min=True)
SHARE = st.floats(0, 1)
BELOW_ONE = st.floats(0, 0.999999)
SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "validation_fraction": st.floats(0, 1, exclude_min=True, exclude_max=True),
    "units": st.lists(st.integers(1, 65_536), min_size=1, max_size=4),
    "activation": st.sampled_from(ACTIVATIONS),
    "mean": st.floats(-1e6, 1e6),
    "stddev": st.floats(0, 1e6),
    "learning_rate": POSITIVE | st.integers(1, 10),
    "weight_decay": st.floats(0, 3.4e38),
    "momentum": SHARE,
    "nesterov": st.booleans(),
    "beta_1": BELOW_ONE,
    "beta_2": BELOW_ONE,
    "rho": BELOW_ONE,
    "epsilon": st.floats(1e-30, 3.4e38),
    "epochs": st.integers(1, 1_000_000),
    "batch_size": st.integers(1, 1_000_000_000),
    "leg_epochs": st.integers(1, 1_000),
    "count": st.integers(1, 100_000),
    "vary": st.lists(st.sampled_from(VARIABLE_SOURCES), unique=True),
    "first": st.integers(0, 1_000_000_000),
}


def sections(cls: type[Section], **fixed: str) -> st.SearchStrategy[dict[str, Any]]:
    optional = {each.name: SETTINGS[each.name] for each in dataclasses.fields(cls)}
    return st.fixed_dictionaries({key: st.just(value) for key, value in fixed.items()}, optional=optional)


@st.composite
def mappings(draw: st.DrawFn) -> dict[str, Any]:
    """Valid settings of every kind, each section and each field given or left out."""
    kinds = {key: draw(st.sampled_from(sorted(registry))) for key, registry in spec.KINDS.items()}
    parts = {key: sections(spec.KINDS[key][name], name=name) for key, name in kinds.items()}
    parts |= {key: sections(cls) for key, cls in spec.SECTIONS.items()} | {"seed": st.integers(0, 2**32 - 1)}
    mapping = draw(st.fixed_dictionaries({}, optional=parts))
    task = spec.KINDS["data"][mapping["data"]["name"] if "data" in mapping else "diabetes"].task
    assume("loss" not in mapping or getattr(spec.KINDS["loss"][mapping["loss"]["name"]], "task", task) == task)
    return mapping


@given(mappings())
@settings(UNTIMED, max_examples=200)
def test_a_mapping_rebuilds_the_same_spec_through_yaml_too(mapping: dict[str, Any]) -> None:
    built = spec.build(mapping)
    assert spec.build(spec.as_mapping(built)) == built
    assert spec.build(yaml.safe_load(yaml.safe_dump(spec.as_mapping(built)))) == built
    assert hash(spec.build(spec.as_mapping(built))) == hash(built)
    for section, content in mapping.items():
        for key, value in content.items() if isinstance(content, dict) else ():
            if (section, key) != ("loss", "name"):
                assert spec.as_mapping(built)[section][key] == value


@pytest.mark.parametrize(("section", "name"), [(key, name) for key, registry in spec.KINDS.items() for name in registry])
def test_every_kind_is_built_from_its_name_alone(section: str, name: str) -> None:
    data = {"digits": "digits", "sparse_categorical_crossentropy": "digits"}.get(name, "diabetes")
    built = spec.build({"data": {"name": data}} | {section: {"name": name}})
    assert getattr(built, section).name == (name if name != "auto" else "mse")


def test_nothing_given_is_the_default_spec() -> None:
    assert spec.build({}) == TrialSpec()


def test_a_spec_is_frozen_and_a_key() -> None:
    first, second = spec.build({"model": {"units": [8, 8]}}), spec.build({"model": {"units": (8, 8)}})
    assert {first: "found"}[second] == "found"
    assert first != TrialSpec()
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.seed = 1  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.model.units = (1,)  # type: ignore[misc]


def test_a_settings_class_checks_itself() -> None:
    with pytest.raises(BadInput, match=r"momentum: got 2; valid: a finite number >= 0 and <= 1"):
        SGD(momentum=2)


def test_flat_names_every_setting_in_dotted_form() -> None:
    built = spec.build({"optimizer": {"name": "sgd", "learning_rate": 1}, "replicates": {"vary": ["init"]}, "seed": 7})
    assert spec.flat(built) == {
        "data": "diabetes",
        "data.validation_fraction": "0.2",
        "model.units": "[64, 64]",
        "model.activation": "relu",
        "optimizer": "sgd",
        "optimizer.learning_rate": "1.0",
        "optimizer.weight_decay": "0.0",
        "optimizer.momentum": "0.0",
        "optimizer.nesterov": "False",
        "schedule": "constant",
        "loss": "mse",
        "init": "glorot_uniform",
        "training.epochs": "100",
        "training.batch_size": "32",
        "training.leg_epochs": "20",
        "replicates.count": "8",
        "replicates.vary": "['init']",
        "replicates.first": "0",
        "seed": "7",
    }
