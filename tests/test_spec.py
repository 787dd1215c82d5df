"""Settings: what is refused and how it is told, and that nothing is lost on the way to a mapping and back."""

import dataclasses
import math
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import study
from study.errors import BadInput, Fault
from study.seeds import SOURCES
from study.settings import spec
from study.settings.data import CLASSIFICATION, UserTable
from study.settings.init import DISTRIBUTIONS, MODES
from study.settings.model import ACTIVATIONS
from study.settings.optimizer import SGD
from study.settings.rules import SettingsSection
from study.settings.spec import TrialSpec
from study.settings.values import Value, as_text, as_texts, as_typed, from_text

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
    ({"init": {"name": "zeros", "bias": math.inf}}, "init.bias"),
    ({"init": {"name": "zeros", "bias_stddev": -1}}, "init.bias_stddev"),
    ({"init": {"name": "random_uniform", "minval": 1}}, "init.maxval"),
    ({"init": {"name": "variance_scaling", "scale": 0}}, "init.scale"),
    ({"init": {"name": "variance_scaling", "mode": "fan"}}, "init.mode"),
    ({"init": {"name": "variance_scaling", "distribution": "normal"}}, "init.distribution"),
    ({"schedule": {"name": "exponential", "decay_rate": 0}}, "schedule.decay_rate"),
    ({"schedule": {"name": "exponential", "decay_epochs": 0}}, "schedule.decay_epochs"),
    ({"schedule": {"name": "exponential", "staircase": 1}}, "schedule.staircase"),
    ({"schedule": {"name": "polynomial", "power": -1}}, "schedule.power"),
    ({"schedule": {"name": "polynomial", "end_learning_rate": -1}}, "schedule.end_learning_rate"),
    ({"schedule": {"name": "piecewise", "boundaries": [0.5, 1]}}, "schedule.boundaries"),
    ({"schedule": {"name": "piecewise", "boundaries": [0.75, 0.5]}}, "schedule.boundaries"),
    ({"schedule": {"name": "piecewise", "factors": [0.1]}}, "schedule.factors"),
    ({"schedule": {"name": "step", "every": 0}}, "schedule.every"),
    ({"schedule": {"name": "step", "every": None}}, "schedule.every"),
    ({"schedule": {"name": "cosine", "alpha": 1.5}}, "schedule.alpha"),
    ({"schedule": {"name": "cosine", "warmup": -1}}, "schedule.warmup"),
    ({"schedule": {"name": "cosine_restarts", "t_mul": 0.5}}, "schedule.t_mul"),
    ({"schedule": {"name": "reduce_on_plateau", "factor": 1}}, "schedule.factor"),
    ({"schedule": {"name": "reduce_on_plateau", "patience": 0}}, "schedule.patience"),
    ({"schedule": {"name": "reduce_on_plateau", "cooldown": 1.5}}, "schedule.cooldown"),
    ({"loss": {"name": "huber", "delta": 0}}, "loss.delta"),
    ({"loss": {"name": "mse", "delta": 1}}, "loss.delta"),
    ({"loss": {"name": "binary_crossentropy", "label_smoothing": 1.1}, "data": {"name": "breast_cancer"}}, "loss.label_smoothing"),
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
    ({"model": {"normalisation": "none"}}, "model.normalisation"),
    ({"model": {"norm_epsilon": 0}}, "model.norm_epsilon"),
    ({"model": {"norm_momentum": 1}}, "model.norm_momentum"),
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
    ({"replicates": {"crossed": [8]}}, "replicates.crossed"),
    ({"replicates": {"crossed": [8, 1]}}, "replicates.crossed"),
    ({"replicates": {"crossed": [2, 2], "vary": ["init"]}}, "replicates.crossed"),
    ({"replicates": {"crossed": [2, 2], "first": 1}}, "replicates.first"),
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
        "model": {"units": [0], "activation": "rellu"},
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
        ({"optimizer": {"name": "adaam"}}, "did you mean adam?"),
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
    assert fault == Fault("optimizer", "zzz", ", ".join(spec.KINDS["optimizer"]))


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
NOT_NEGATIVE = st.floats(0, 3.4e38)
SHARE = st.floats(0, 1)
BELOW_ONE = st.floats(0, 0.999999)
VALUE, SPREAD = st.floats(-1e6, 1e6), st.floats(0, 1e6)
EPOCHS = st.floats(0, 1e9, exclude_min=True)
COLUMNS = st.integers(5, 65_536)
TARGET_SCALES = ("none", "standard", "minmax", "log", "power", "quantile")
SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    # data
    "validation_fraction": st.floats(0, 1, exclude_min=True, exclude_max=True),
    "normalise": st.sampled_from(("none", "standard", "minmax", "robust", "quantile", "power")),
    "normalise_target": st.sampled_from(TARGET_SCALES),
    "feature_noise": SPREAD,
    "target_noise": SHARE,
    "resample": st.sampled_from(("split", "kfold", "bootstrap")),
    "folds": st.integers(2, 1_000_000),
    "test_fraction": st.sampled_from([0.0, 0.2, 0.5]),
    "columns": st.sampled_from([None, ["zip: category", "when: date %d.%m.%Y"]]),
    "roles": st.sampled_from(("auto", "types")),
    "encode": st.sampled_from(("auto", "onehot", "target", "ordinal")),
    "min_count": st.none() | st.integers(1, 1_000_000),
    "clip": st.none() | st.floats(1, 1e6),
    "fourier": st.booleans(),
    "soft_clip": st.none() | st.floats(1, 1e6),
    "test_path": st.sampled_from([None, "/more.csv"]),
    "split": st.just("random"),
    "group": st.none(),
    "time": st.none(),
    "quote": st.sampled_from((None, "'", '"')),
    "skip": st.none(),
    "sheet": st.none(),
    "sql": st.none(),
    "threshold": st.sampled_from((None, 0.25, "f1")),
    "weight": st.sampled_from((None, "counts")),
    "class_weight": st.sampled_from((None, "balanced", '{"no": 1.0, "yes": 2.5}')),
    "per_split": st.just(1),
    "rows": st.integers(2, 100_000_000),
    "features": COLUMNS,
    "outputs": COLUMNS,
    "noise": SPREAD,
    "path": st.just("/rows.csv"),
    "target": st.just("price"),
    "task": st.sampled_from(("regression", "classification")),
    "drop": st.lists(st.sampled_from(("street", "door")), unique=True),
    "missing": st.sampled_from(("refuse", "mean", "median", "most_frequent")),
    "delimiter": st.sampled_from((None, ";", "\t")),
    "decimal": st.sampled_from((".", ",")),
    "encoding": st.sampled_from((None, "utf-8", "cp1252")),
    "max_levels": st.integers(2, 10_000),
    # model
    "units": st.lists(st.integers(1, 65_536), min_size=1, max_size=4),
    "activation": st.sampled_from(ACTIVATIONS),
    "dropout": st.floats(0, 1, exclude_max=True),
    "normalisation": st.sampled_from([None, "batch", "layer"]),
    "norm_momentum": st.floats(0, 1, exclude_max=True),
    "norm_epsilon": st.floats(1e-9, 1),
    "l1": NOT_NEGATIVE,
    "l2": NOT_NEGATIVE,
    # init
    "mean": VALUE,
    "stddev": SPREAD,
    "minval": st.floats(-1e6, -0.05),
    "maxval": st.floats(-0.05, 1e6),
    "scale": st.floats(0, 1e6, exclude_min=True),
    "mode": st.sampled_from(MODES),
    "distribution": st.sampled_from(DISTRIBUTIONS),
    "gain": VALUE,
    "value": VALUE,
    "bias": VALUE,
    "bias_stddev": SPREAD,
    "same_as": st.none() | st.text("abcdef0123456789", min_size=1),
    # loss
    "delta": st.floats(0, 1e18, exclude_min=True),
    "label_smoothing": SHARE,
    # optimizer
    "learning_rate": POSITIVE | st.integers(1, 10),
    "weight_decay": NOT_NEGATIVE,
    "clip_value": st.none() | POSITIVE,
    "clip_norm": st.none() | POSITIVE,
    "ema": st.none() | BELOW_ONE,
    "momentum": SHARE,
    "nesterov": st.booleans(),
    "beta_1": BELOW_ONE,
    "beta_2": BELOW_ONE,
    "amsgrad": st.booleans(),
    "rho": BELOW_ONE,
    "centered": st.booleans(),
    "initial_accumulator_value": NOT_NEGATIVE,
    "epsilon": st.floats(1e-30, 3.4e38),
    # schedule
    "warmup": st.floats(0, 1e9),
    "decay_rate": st.floats(0, 1e6, exclude_min=True),
    "decay_epochs": st.none() | EPOCHS,
    "first_epochs": st.none() | EPOCHS,
    "staircase": st.booleans(),
    "end_learning_rate": NOT_NEGATIVE,
    "power": SPREAD,
    "cycle": st.booleans(),
    "boundaries": st.lists(st.floats(0, 1, exclude_min=True, exclude_max=True), min_size=2, max_size=2, unique=True).map(sorted),
    "factors": st.lists(SPREAD, min_size=2, max_size=2),
    "factor": BELOW_ONE,
    "every": EPOCHS,
    "alpha": SHARE,
    "t_mul": st.floats(1, 1e6),
    "m_mul": st.floats(0, 1e3),
    "patience": st.integers(1, 1_000_000),
    "min_delta": NOT_NEGATIVE,
    "cooldown": st.integers(0, 1_000_000),
    "min_learning_rate": NOT_NEGATIVE,
    "thousands": st.sampled_from((None, "'", " ")),
    "header": st.sampled_from(("auto", True, False)),
    "index": st.sampled_from(("auto", "keep")),
    "gaps": st.lists(st.integers(-9999, 0) | st.sampled_from(("?", "unknown", "-1")), unique=True, max_size=3),
    # training
    "epochs": st.integers(1, 1_000_000),
    "batch_size": st.none() | st.integers(1, 1_000_000_000),
    "partial_batch": st.sampled_from(("drop", "keep")),
    "until": st.sampled_from(("epochs", "plateaued", "settled")),
    "leg_epochs": st.integers(1, 1_000),
    "motion": st.booleans(),
    # replicates
    "count": st.integers(1, 100_000),
    "vary": st.lists(st.sampled_from(SOURCES), unique=True),
    "crossed": st.none(),  # it depends on the others; see the cases above
    "first": st.integers(0, 1_000_000_000),
}
# a setting that means something else in one kind
OWN_SETTINGS = {
    ("teacher", "activation"): st.sampled_from(("tanh", "relu")),
    # a regression has none
    ("table", "class_weight"): st.none(),
    ("table", "threshold"): st.none(),
}
REQUIRED = {"table": ("path", "target")}
# settings that aren't given together
APART = (("clip_value", "clip_norm"), ("patience", "until"), ("motion", "until"))


def sections(cls: type[SettingsSection], **fixed: str) -> st.SearchStrategy[dict[str, Any]]:
    name = fixed.get("name", "")
    strategies = {each.name: OWN_SETTINGS.get((name, each.name), SETTINGS[each.name]) for each in dataclasses.fields(cls)}
    required = {key: strategies.pop(key) for key in REQUIRED.get(name, ())}
    drawn = st.fixed_dictionaries({key: st.just(value) for key, value in fixed.items()} | required, optional=strategies)
    return drawn.filter(lambda section: not any(first in section and second in section for first, second in APART))


@st.composite
def mappings(draw: st.DrawFn) -> dict[str, Any]:
    """Valid settings of every kind, each section and each field given or left out."""
    kinds = {key: draw(st.sampled_from(sorted(registry))) for key, registry in spec.KINDS.items()}
    parts = {key: sections(spec.KINDS[key][name], name=name) for key, name in kinds.items()}
    parts |= {key: sections(cls) for key, cls in spec.SECTIONS.items()} | {"seed": st.integers(0, 2**32 - 1)}
    mapping = draw(st.fixed_dictionaries({}, optional=parts))
    data = mapping.get("data", {"name": "diabetes"})
    task = data.get("task", spec.KINDS["data"][data["name"]].task)
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
    data = "breast_cancer" if getattr(spec.KINDS[section][name], "task", None) == CLASSIFICATION else "diabetes"
    needed = {"path": "rows.csv", "target": "price"} if spec.KINDS[section][name] is UserTable else {}
    built = spec.build({"data": {"name": data}} | {section: {"name": name, **needed}})
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


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, -3, 0.1, 1e-05, 1e22, "adam", "", "none", "[a", "C:\\new", [], [64, 64], ["init", "order"], [0.5]],
)
def test_a_setting_survives_as_a_text(value: Value) -> None:
    read = from_text(as_text(value))
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize("text", ["1e-3", "007", "0x10", "'quoted'", "1_000", "{'a': 1}", "3and", "[1,2]", "b'a'"])
def test_a_text_that_no_value_has_stays_a_text(text: str) -> None:
    assert from_text(text) == text


@pytest.mark.parametrize("name", spec.KINDS["optimizer"])
def test_every_setting_of_an_optimizer_survives_as_a_text(name: str) -> None:
    settings = spec.flat(spec.build({"optimizer": {"name": name}, "model": {"units": [3, 4]}}))
    assert {key: from_text(text) for key, text in as_texts(settings).items()} == settings


def test_flat_names_every_setting_in_dotted_form() -> None:
    built = spec.build({"optimizer": {"name": "sgd", "learning_rate": 1}, "replicates": {"vary": ["init"]}, "seed": 7})
    assert as_texts(spec.flat(built)) == {
        "data": "diabetes",
        "data.test_fraction": "0.2",
        "data.validation_fraction": "0.2",
        "data.normalise": "standard",
        "data.feature_noise": "0.0",
        "data.target_noise": "0.0",
        "data.resample": "split",
        "data.folds": "5",
        "data.normalise_target": "standard",
        "model.units": "[64, 64]",
        "model.activation": "relu",
        "model.dropout": "0.0",
        "model.normalisation": "None",
        "model.norm_momentum": "0.99",
        "model.norm_epsilon": "0.001",
        "model.l1": "0.0",
        "model.l2": "0.0",
        "optimizer": "sgd",
        "optimizer.learning_rate": "1.0",
        "optimizer.weight_decay": "0.0",
        "optimizer.clip_value": "None",
        "optimizer.clip_norm": "None",
        "optimizer.ema": "None",
        "optimizer.momentum": "0.0",
        "optimizer.nesterov": "False",
        "schedule": "constant",
        "schedule.warmup": "0.0",
        "loss": "mse",
        "init": "glorot_uniform",
        "init.bias": "0.0",
        "init.bias_stddev": "0.0",
        "init.same_as": "None",
        "training.epochs": "100",
        "training.batch_size": "32",
        "training.partial_batch": "drop",
        "training.patience": "None",
        "training.min_delta": "0.0",
        "training.until": "epochs",
        "training.leg_epochs": "20",
        "training.motion": "True",
        "replicates.count": "8",
        "replicates.vary": "['init']",
        "replicates.per_split": "1",
        "replicates.first": "0",
        "replicates.crossed": "None",
        "seed": "7",
    }


@pytest.mark.parametrize("vary", ["[init,dropout]", "[noise,order]"])
def test_crossing_what_changes_nothing_is_refused_at_a_launch_and_not_of_a_record(vary: str) -> None:
    with pytest.raises(BadInput, match="sources that change something"):
        study.compose([f"replicates.vary={vary}", "replicates.crossed=[2,2]"])
    settings = {"vary": vary.strip("[]").split(","), "crossed": [2, 2]}
    assert spec.build({"replicates": settings}).replicates.count == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (0, "0"),
        (1e-7, "1e-07"),
        ("adam", "adam"),
        (["init", "order"], "[init, order]"),
        ([None], "[null]"),
    ],
)
def test_a_setting_is_shown_as_it_is_typed(value: Value, text: str) -> None:
    assert as_typed(value) == text
