"""The loader that keeps composed bases: its configs, errors and job files are Hydra's own, and it composes each choice once."""

from __future__ import annotations

import os
import pickle
import random
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_loader import ConfigLoader
from hydra.types import HydraContext, RunMode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from study.config import decode, grammar, source
from study.config.loader import Loader
from study.config.refusals import REFUSALS
from study.config.source import OWN, Source
from study.runner.validation import ComposedTrials
from study.search.space import Choice, Interval

MULTIRUN = ["hydra.mode=MULTIRUN", "optimizer=adam,sgd"]


@pytest.fixture(scope="module")
def loaders() -> Iterator[tuple[Loader, ConfigLoaderImpl]]:
    """Ours and Hydra's own, for the program's own configs."""
    with OWN.application() as application:
        assert isinstance(application.config_loader, Loader)
        yield application.config_loader, ConfigLoaderImpl(application.config_loader.get_search_path())


def loaded(loader: ConfigLoader, lines: Sequence[str], name: str = source.CONFIG_NAME) -> DictConfig:
    return loader.load_configuration(name, list(lines), RunMode.RUN)


def described(config: DictConfig) -> str:
    """Every node of a config: its key, type and flags, and the value of a leaf as it is written; without the time of composing."""
    OmegaConf.clear_cache(config)
    return "\n".join(_nodes(config))


def _nodes(node: Any) -> list[str]:
    own = f"{node._key()} {type(node).__name__} {node._metadata}"
    if not OmegaConf.is_config(node) or not isinstance(node._content, dict | list):
        return [f"{own} {node._value()!r}"]
    keys = node.keys() if OmegaConf.is_dict(node) else range(len(node))
    return [own, *(line for key in keys for line in _nodes(node._get_node(key)))]


CASES = [
    [],
    ["optimizer=sgd", "optimizer.momentum=0.9", "optimizer.nesterov=true"],
    ["optimizer.learning_rate=1e-3", "seed=7", "optimizer=rmsprop", "training.batch_size=null"],
    ["seed=1", "seed=2", "optimizer=sgd", "optimizer=adam"],
    ["model.units=[8,8]", "model.activation='tanh'", "model.width=16"],
    ["model={units: [8], dropout: 0.1}", "++model.depth=2"],
    ["+optimizer.extra={a: 1}", "++study.more='it\\'s, \"x\"'", "~optimizer.beta_1"],
    ["optimizer.learning_rate=${seed}", "study.name='1'", 'study.storage="a=b,c"', "study.default='{\"a\": [1, null]}'"],
    ["study.name='true'", "study.name=null", "study.name=' '", "study.name=", "study.name='${seed}'"],
    ["data=table", "data.path='a b.csv'", "data.target='2019'", "data.drop=['x,y',null,1e3]", "loss=mae"],
    ["+experiment=smoke", "training.epochs=2"],
    ["optimizer@other=sgd"],
    ["+optimizer@other=sgd", "other.momentum=0.5"],
    ["~tracking", "pruner=none"],
    ["hydra.mode=MULTIRUN", "hydra.sweep.subdir=${hydra.job.override_dirname}", "optimizer=sgd", "study.trial=3", "seed=2"],
    ["seed=2", "hydra.job.env_set.X=1", "hydra.job.name=mine", "+hydra.job.env_copy=[HOME]", "sampler=random"],
    ["hydra={verbose: true}", "hydra.sweeper.n_trials=3", "hydra/launcher=basic", "seed=4"],
    ["hydra.job.config.override_dirname.item_sep=;", "hydra.job.config.override_dirname.exclude_keys=[seed]", "seed=4", "loss=mse"],
    ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=3"],
]


@pytest.mark.parametrize("lines", CASES, ids=lambda lines: " ".join(lines)[:60] or "nothing")
def test_a_config_is_hydras_own_in_every_node(lines: list[str], loaders: tuple[Loader, ConfigLoaderImpl]) -> None:
    ours, hydras = loaders
    expected: DictConfig | Exception
    try:
        expected = loaded(hydras, lines)
    except REFUSALS as error:
        expected = error
    for _ in range(2):  # composed, and from its base
        if isinstance(expected, Exception):
            with pytest.raises(type(expected)) as refused:
                loaded(ours, lines)
            assert str(refused.value) == str(expected)
        else:
            found = ours._composed(source.CONFIG_NAME, lines)
            assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(expected)
            assert described(found) == described(expected)


WRONG = [
    ["optimizer=nope"],
    ["optimizer.nope=1"],
    ["nope=1"],
    ["seed=1", "optimizer=sgd", "optimizer.beta_1=0.9"],
    ["optimizer=adam,sgd"],
    ["seed=range(3)"],
    ["a=[1"],
    ["+seed=1"],
    ["++optimizer=sgd"],
    ["optimizer=null"],
    ["~optimizer.nope"],
    ["hydra.nope=1", "optimizer.nope=1"],
    ["hydra.run={a: 1}"],
    ["nope@x=1"],
    ["hydra.job.env_copy=[NO_SUCH_VARIABLE]"],
]


@pytest.mark.parametrize("lines", WRONG, ids=" ".join)
def test_an_error_is_hydras_own(lines: list[str], loaders: tuple[Loader, ConfigLoaderImpl]) -> None:
    told = []
    for loader in loaders:
        with pytest.raises(Exception) as refused:  # noqa: PT011
            loaded(loader, ["training.epochs=2", *lines])
        told.append((type(refused.value), str(refused.value), str(refused.value.__cause__)))
    assert told[0] == told[1]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(" ,'\"\\=[]{}:1eatrunl", max_size=8)


@given(st.lists(SCALARS | st.lists(SCALARS, max_size=3), max_size=3))
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=12)
def test_a_value_becomes_what_hydra_makes_of_it(loaders: tuple[Loader, ConfigLoaderImpl], values: list[object]) -> None:
    lines = [f"study.{key}={grammar.encode(value)}" for key, value in zip(("name", "storage", "default"), values, strict=False)]
    ours, hydras = (loaded(loader, lines) for loader in loaders)
    assert described(ours) == described(hydras)


def test_a_copy_of_a_base_is_independent(loaders: tuple[Loader, ConfigLoaderImpl]) -> None:
    ours, _ = loaders
    first = loaded(ours, ["optimizer=sgd"])
    first.optimizer.momentum, first.hydra.job.num = 0.5, 3
    first.hydra.overrides.task.append("x=1")
    assert OmegaConf.to_yaml(loaded(ours, ["optimizer=sgd"])) == OmegaConf.to_yaml(loaded(loaders[1], ["optimizer=sgd"]))


def test_what_changes_between_jobs_is_not_kept(
    loaders: tuple[Loader, ConfigLoaderImpl], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, lines = loaders[0], ["hydra.job.env_copy=[COLOUR]"]
    monkeypatch.setenv("COLOUR", "red")
    assert loaded(ours, lines).hydra.job.env_set.COLOUR == "red"
    monkeypatch.setenv("COLOUR", "blue")
    monkeypatch.chdir(tmp_path)
    later = loaded(ours, lines)
    assert later.hydra.job.env_set.COLOUR == "blue" and later.hydra.runtime.cwd == str(tmp_path)


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({"folder": "mine"}, ["optimizer=fast"]),
        ({"folder": "mine"}, ["+experiment=quick", "optimizer=fast", "optimizer.learning_rate=0.5"]),
        ({"folder": "mine", "name": "other"}, ["seed=3"]),
        ({"path": "mine", "name": "alone"}, ["part=one", "part.a=3"]),
        ({}, ["hydra.searchpath=[{here}/mine]", "optimizer=fast", "seed=3"]),
        ({}, ["hydra.searchpath=['file://{here}/mine']", "optimizer=sgd", "seed=3"]),
    ],
)
def test_configs_of_other_folders_are_composed_as_hydra_does(options: dict[str, str], lines: list[str], empty: Path) -> None:
    write(empty / "mine/optimizer/fast.yaml", "name: sgd\nlearning_rate: 0.25\nmomentum: 0.5\n")
    write(empty / "mine/experiment/quick.yaml", "# @package _global_\ndefaults: [override /optimizer: adam]\nseed: 9\n")
    write(empty / "mine/other.yaml", "defaults: [config, _self_]\nseed: 5\n")
    write(empty / "mine/alone.yaml", "defaults: [part: one, override hydra/sweeper: study, _self_]\nb: ${part.a}\n")
    write(empty / "mine/part/one.yaml", "a: 1\n")
    chosen = Source(**{key: str(empty / value) if key != "name" else value for key, value in options.items()})
    lines = [line.format(here=empty) if "{here}" in line else line for line in lines]
    with chosen.application() as application:
        ours, hydras = application.config_loader, ConfigLoaderImpl(application.config_loader.get_search_path())
        assert isinstance(ours, Loader)
        for _ in range(2):
            assert described(ours._composed(chosen.name, lines)) == described(loaded(hydras, lines, chosen.name))


SPACE = {
    "optimizer": Choice("optimizer", ("adam", "sgd", "rmsprop")),
    "optimizer.learning_rate": Interval("optimizer.learning_rate", 1e-4, 1e-1, log=True),
    "model.units": Choice("model.units", ("[8,8]", "[16]")),
    "training.batch_size": Choice("training.batch_size", (16, 32, None)),
    "loss": Choice("loss", ("mse", "'mae'")),
}


def test_a_choice_of_groups_is_composed_once_and_trials_are_those_of_hydra(
    loaders: tuple[Loader, ConfigLoaderImpl], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, hydras = (
        ComposedTrials(["seed=3"], partial(loaded, loader), "") for loader in (Loader(loaders[1].config_search_path), loaders[1])
    )
    rng = random.Random(0)
    trials = [{key: rng.choice(domain.samples()) for key, domain in SPACE.items()} for _ in range(12)]
    expected = [hydras.config(params, SPACE) for params in trials]
    composed = []

    def counted(*arguments: Any, **more: Any) -> DictConfig:
        composed.append(more)
        return whole(*arguments, **more)

    whole = ConfigLoaderImpl._load_configuration_impl
    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", counted)
    found = [ours.config(params, SPACE) for params in trials]
    assert len(composed) == len({(params["optimizer"], params["loss"]) for params in trials}) < len(trials)
    assert list(map(described, found)) == list(map(described, expected))
    assert list(map(decode.trial_spec, found)) == list(map(decode.trial_spec, expected))


def launched(loader: ConfigLoader, folder: Path, jobs: list[list[str]]) -> dict[str, str]:
    """The files that Hydra's launcher leaves in the folder for these jobs, by their names."""
    config = loader.load_configuration(
        source.CONFIG_NAME, [f"hydra.sweep.dir={folder}/sweep", "training.epochs=2", *MULTIRUN], RunMode.MULTIRUN
    )
    launcher = BasicLauncher()
    launcher.setup(hydra_context=HydraContext(loader, Callbacks()), task_function=lambda config: None, config=config)
    launcher.launch(jobs, 0)
    files = {str(file.relative_to(folder)): file.read_text() for file in folder.glob("sweep/*/.hydra/*.yaml")}
    for file in files:
        (folder / file).unlink()
    return files


def test_the_files_of_every_job_are_hydras_own(loaders: tuple[Loader, ConfigLoaderImpl], empty: Path) -> None:
    common = ["training.epochs=2", "study.name='it\\'s'", f"study.storage='sqlite:///{empty}/optuna.db'"]
    jobs = [
        [*common, f"optimizer={kind}", f"optimizer.learning_rate={rate}", "model.units=[8,8]", f"study.trial={number}"]
        for number, (kind, rate) in enumerate([("sgd", 0.1), ("adam", 1e-3), ("sgd", 1e-4)])
    ]
    ours, hydras = (launched(loader, empty, jobs) for loader in loaders)
    assert set(ours) == {f"sweep/{job}/.hydra/{name}.yaml" for job in range(3) for name in ("config", "hydra", "overrides")}
    assert ours == hydras


def test_a_worker_composes_with_hydras_own_loader(loaders: tuple[Loader, ConfigLoaderImpl]) -> None:
    ours, hydras = loaders
    loaded(ours, ["optimizer=sgd"])
    sent = pickle.loads(pickle.dumps(ours))
    assert type(sent) is ConfigLoaderImpl and "_bases" not in vars(sent)
    lines = ["optimizer=sgd", "seed=4", f"study.name={os.getpid()}"]
    assert described(loaded(sent, lines)) == described(loaded(hydras, lines))
