"""A study of a SQLite file as it is read without Optuna's storage, beside Optuna's own answer."""

import io
import math
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from study import sqlite
from study.errors import BadInput, Corrupt
from study.reporting import terminal
from study.search import attributes, overview, reading, records, sqlite_study, stored
from study.search.records import OBJECTIVES, Contents
from tests.command import run

PARAMS = {
    "optimizer": ("sgd", CategoricalDistribution(["adam", "sgd"])),
    "units": ("[16, 16]", CategoricalDistribution(["[16, 16]", "[8]"])),
    "dropout": (None, CategoricalDistribution([None, 0.5, True])),
    "rate": (3e-4, FloatDistribution(1e-4, 1e-1, log=True)),
    "depth": (2, IntDistribution(1, 3)),
    "step": (0.30000000000000004, FloatDistribution(0.0, 1.0, step=0.1)),
}
VALUES = [0.1 + 0.2, -1e-300, math.inf, -math.inf]


def trial(number: int) -> optuna.trial.FrozenTrial:
    """A trial of one of all states, with some of all that a trial may have."""
    state = list(TrialState)[number % len(TrialState)]
    params = dict(list(PARAMS.items())[: number % (len(PARAMS) + 1)])
    return create_trial(
        state=state,
        values=[VALUES[number % len(VALUES)]] if state == TrialState.COMPLETE else None,
        params={key: value for key, (value, _) in params.items()},
        distributions={key: domain for key, (_, domain) in params.items()},
        user_attrs={"mlflow_run_id": "é \"' \n\x00", "n": number},
        system_attrs={"mlp_study:result": {"summary": {"losses": [0.1, math.nan, math.inf], "none": None}}, "grid": []},
        intermediate_values=dict(zip((10, 2, 7, 8), [0.5, math.nan, math.inf, -math.inf], strict=True)) if number % 2 else {},
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "optuna.db"
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    for name in ("empty", 'it\'s 100 % "full"', "other"):
        study = optuna.create_study(study_name=name, storage=storage)
        study.set_user_attr("identity", {"data": name})
        study.set_user_attr("race", "of an earlier version")
        attributes.keep_with_study(study, "race", {"margin": 1.0})
        storage.set_study_system_attr(study._study_id, "others", "not ours")
        for number in range({"empty": 0, "other": 3}.get(name, 60)):
            study.add_trial(trial(number))
    storage.engine.dispose()
    return path


@pytest.fixture
def file(original: Path, tmp_path: Path) -> Path:
    """The file of three studies, one of which has no trials."""
    return Path(shutil.copy(original, tmp_path))


@pytest.fixture
def bare(file: Path) -> Path:
    """The same file without results of ours."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM trial_system_attributes")
        connection.execute("DELETE FROM study_user_attributes")
        connection.execute("DELETE FROM study_system_attributes")
    return file


def plain(kept: Contents | None) -> str:
    """All that is read, as a text, in which NaN equals NaN. Attributes and reports have no order; settings have one."""
    assert kept is not None
    orderless = ("_user_attrs", "_system_attrs", "intermediate_values")
    trials = [vars(each) | {name: sorted(vars(each)[name].items()) for name in orderless} for each in kept.trials]
    return repr((sorted(kept.attrs.items()), [sorted(each.items()) for each in trials]))


def test_all_that_a_study_has_is_read_as_optuna_reads_it(file: Path) -> None:
    url = sqlite.url_of(file)
    assert sqlite_study.names(url) == stored.names(url) == ["empty", 'it\'s 100 % "full"', "other"]
    for name in stored.names(url):
        assert plain(sqlite_study.read(url, name)) == plain(stored.read(url, name))
    assert {each.state for each in reading.read(url, 'it\'s 100 % "full"').trials} == {*TrialState}


def test_a_reader_of_one_moment_sees_what_others_have_written(file: Path) -> None:
    url = sqlite.url_of(file)
    study = stored.load(url, "other")
    before = reading.read(url, "other")
    study.add_trial(trial(5))
    attributes.keep_with_study(study, "race", {"margin": 2.0})
    after = reading.read(url, "other")
    assert len(after.trials) == len(before.trials) + 1 and after.attrs["race"] == {"margin": 2.0}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE version_info SET schema_version = 13",
        "UPDATE alembic_version SET version_num = 'v6.0.0.a'",
        "UPDATE trial_user_attributes SET value_json = '{'",
        "UPDATE trials SET datetime_start = 'yesterday'",
        "UPDATE trials SET state = 'DONE'",
        "UPDATE trial_params SET distribution_json = '{}'",
        "UPDATE trial_params SET distribution_json = '[]'",
        "UPDATE trial_params SET param_value = 7",
        "ALTER TABLE trial_values RENAME COLUMN objective TO target",
        "DROP TABLE trial_params",
    ],
)
def test_what_is_not_as_expected_is_left_to_optuna(change: str, file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(change)
    assert sqlite_study.read(sqlite.url_of(file), "other") is None


@pytest.mark.parametrize("change", ["state = 'DONE'", "datetime_start = 'yesterday'"])
def test_a_value_that_optuna_cannot_read_either_is_damage(change: str, file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(f"UPDATE trials SET {change}")
    with pytest.raises(Corrupt, match="study other has a value that isn't readable"):
        reading.open_study(sqlite.url_of(file), "other")


def test_a_result_of_another_version_is_damage_with_its_place(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, place = sqlite.url_of(file), r"study other, trial [01] has a result that this version of mlp-study can't read: .*val_loss"
    with pytest.raises(Corrupt, match=place):
        reading.open_study(url, "other")
    with pytest.raises(Corrupt, match=place):
        overview.best(url, "other")
    with pytest.raises(Corrupt, match=place):
        stored.attempts(url, "other")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM trials WHERE study_id = 2")
    readable, damaged = overview.overviews(url)
    assert {each.name for each in readable} == {"empty", 'it\'s 100 % "full"'}
    [of_other] = map(str, damaged)
    assert re.match(place, of_other)
    monkeypatch.setattr(terminal.err, "file", told := io.StringIO())
    assert run("list", "--storage", url) == Corrupt.exit_code
    assert "empty" in capsys.readouterr().out and of_other in " ".join(told.getvalue().split())


def test_a_study_that_is_deleted_meanwhile_is_none(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = sqlite.url_of(bare)
    monkeypatch.setattr(overview, "names", lambda _: ["empty", "deleted", "other"])
    assert {each.name for each in overview.overviews(url)[0]} == {"empty", "other"}
    assert overview.best(url, "deleted") is None and reading.find(url, "deleted") is None
    assert not reading.has_begun(url, "deleted") and reading.run_ids(url, "deleted") == {}


def test_a_damaged_file_and_an_unknown_name_are_errors_with_optunas_words(file: Path) -> None:
    url = sqlite.url_of(file)
    with pytest.raises(KeyError):
        reading.read(url, "nope")
    with pytest.raises(BadInput, match=r"STUDY: got 'nope'; valid: .*other"):
        reading.open_study(url, "nope")
    file.write_bytes(b"no database")
    assert sqlite_study.names(url) is None and sqlite_study.read(url, "other") is None
    with pytest.raises(Corrupt, match="not a SQLite database"):
        reading.names(url)
    file.unlink()
    assert sqlite_study.names(url) is None
    assert sqlite_study.names("postgresql://host/base") is None and sqlite_study.read("postgresql://host/base", "other") is None


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_that_of_optuna(seed: int) -> None:
    """Values are whole numbers, so that many trials are equal in one objective or in all."""
    draw = random.Random(seed)
    directions = [draw.choice(["minimize", "maximize"]) for _ in range(draw.choice([1, 2, 3]))]
    study = optuna.create_study(directions=directions)
    for _ in range(draw.choice([0, 1, 30])):
        state = draw.choice([TrialState.COMPLETE, TrialState.FAIL])
        values = [float(draw.randrange(6)) for _ in directions] if state == TrialState.COMPLETE else None
        study.add_trial(create_trial(state=state, values=values))
    objectives = [{"name": "loss", "direction": way} for way in directions]
    front = records.front_of(Contents({OBJECTIVES: objectives}, study.trials))
    assert front == ([each.number for each in study.best_trials] if len(directions) > 1 else [])


def test_reading_loads_neither_sqlalchemy_nor_alembic(bare: Path) -> None:
    read = f"reading.open_study({sqlite.url_of(bare)!r}, 'other')"
    heavy = "print([name for name in ('sqlalchemy', 'alembic', 'optuna.storages._rdb.models') if name in sys.modules])"
    code = f"import sys; from study.search import overview, reading; {read}; overview.overviews({sqlite.url_of(bare)!r}); {heavy}"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize("has_log", [True, False])
def test_a_reader_leaves_nothing_behind_and_minds_a_writer(has_log: bool, tmp_path: Path) -> None:
    """A file with a write-ahead log is read while another connection writes; one without is locked meanwhile."""
    path = tmp_path / "t.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute(f"PRAGMA journal_mode={'WAL' if has_log else 'DELETE'}")
        writer.execute("CREATE TABLE t (x)")
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("INSERT INTO t VALUES (1)")
        with sqlite.reading(path) as reader:
            reader.execute("PRAGMA busy_timeout=0")
            if has_log:
                assert reader.execute("SELECT * FROM t").fetchall() == []
            else:
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    reader.execute("SELECT * FROM t")
        writer.execute("COMMIT")
    before = sorted(tmp_path.iterdir())
    with sqlite.reading(path) as reader:
        assert reader.execute("SELECT * FROM t").fetchall() == [(1,)]
        assert sorted(tmp_path.iterdir()) == before == [path]


def test_another_programs_database_has_no_studies_and_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE customers (name)")
    content = path.read_bytes()
    url = sqlite.url_of(path)
    assert reading.names(url) == [] and overview.overviews(url) == ([], [])
    with pytest.raises(BadInput, match="STUDY: got 'mine'; valid: one of: none yet"):
        reading.open_study(url, "mine")
    assert path.read_bytes() == content and list(tmp_path.iterdir()) == [path]
