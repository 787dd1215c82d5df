"""How a person names networks: every form, what is ambiguous, what is not there, and names that are made to be misread."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mlflow.entities import Metric, Run, RunData, RunInfo, RunTag

from study.errors import BadInput, Corrupt
from study.records.network import Network
from study.tracking import addresses, artifacts, reader, store
from study.tracking.store import Store

QUOTED = 'it\'s a "study" \\ 100%_ ` -- ;'
# the losses of each study's trials; None: a trial that failed
STUDIES: dict[str, list[float | None]] = {
    "plain": [3.0, 1.0, 2.0, None],
    "a": [1.0] * 13,
    "a/12": [2.0] * 4,
    "dash-ed/name": [5.0, 4.0],
    "best-of": [1.0],
    QUOTED: [2.0, 1.0],
    "failed only": [None],
    "tuned.npz": [3.0, 2.0],
    "newest": [7.0, 6.0],
}
# told, not by the loss
TOLD_BEST = ("dash-ed/name", 0)
REPLICATES = 2


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store as the writer leaves it, and some runs with names of their own."""
    found = store.connect(f"sqlite:///{tmp_path_factory.mktemp('addresses') / 'mlflow.db'}")
    moment = 1_000
    for study, losses in STUDIES.items():
        experiment = found.experiment(study)
        for number, loss in enumerate(losses):
            moment += 10
            tags = {"mlp_study.kind": "trial", "mlp_study.trial": str(number)}
            run = found.client.create_run(experiment, moment, tags, f"trial {number}").info.run_id
            if loss is not None:
                found.client.log_batch(run, metrics=[Metric("val_loss_mean", loss, 1, 1)])
            for replicate in range(REPLICATES):
                tags = {"mlp_study.kind": "replicate", "mlflow.parentRunId": run, "mlp_study.replicate": str(replicate)}
                child = found.client.create_run(experiment, moment, tags, f"trial {number}/{replicate}").info.run_id
                found.client.set_terminated(child)
            found.client.set_terminated(run, "FINISHED" if loss is not None else "FAILED")
    # another attempt at a trial, which was cut off later
    tags = {"mlp_study.kind": "trial", "mlp_study.trial": "2"}
    cut = found.client.create_run(found.experiment("plain"), 1_035, tags, "cut off").info.run_id
    found.client.set_terminated(cut, "KILLED")
    tags = {"mlp_study.kind": "trial"}
    single = found.client.create_run(found.experiment("digits"), 9_000, tags, "adam 0.001").info.run_id
    found.client.set_terminated(single)
    found.client.create_run(found.experiment("digits"), 1, tags, QUOTED)
    told = addresses.run_id(found, "/".join(map(str, TOLD_BEST)))
    found.client.create_run(found.experiment(TOLD_BEST[0]), 1, {"mlp_study.kind": "study", "best": told}, TOLD_BEST[0])
    found.client.delete_run(found.client.create_run(found.experiment("plain"), 1, tags, "deleted").info.run_id)
    return found


def name_of(found: Store, run_id: str) -> str:
    run = found.client.get_run(run_id)
    return f"{found.client.get_experiment(run.info.experiment_id).name}: {run.info.run_name}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain/2", "plain: trial 2"),
        ("plain/2/1", "plain: trial 2/1"),
        ("plain/002/01", "plain: trial 2/1"),
        ("plain/3", "plain: trial 3"),  # that it failed is told by who needs its networks
        ("plain", "plain: trial 1"),
        ("plain/best", "plain: trial 1"),
        ("plain/best/1", "plain: trial 1/1"),
        ("dash-ed/name/1", "dash-ed/name: trial 1"),
        ("dash-ed/name", "dash-ed/name: trial 0"),  # as its study's run tells it
        ("dash-ed/name/best/1", "dash-ed/name: trial 0/1"),
        ("best-of", "best-of: trial 0"),
        ("best", "newest: trial 1"),  # a single trial ran later, but is no study
        ("best/0", "newest: trial 1/0"),
        (QUOTED, f"{QUOTED}: trial 1"),
        (f"{QUOTED}/0/1", f"{QUOTED}: trial 0/1"),
        ("a/12", "a/12: trial 0"),  # a study's whole name before another one's trial
        ("a/12/3", "a/12: trial 3"),  # trial 12 of a has no replicate 3
        ("trial 11/1", "a: trial 11/1"),
        ("trial 11", "a: trial 11"),
        ("adam 0.001", "digits: adam 0.001"),
    ],
)
def test_a_text_names_a_run(text: str, expected: str, opened: Store) -> None:
    assert name_of(opened, addresses.run_id(opened, text)) == expected


def test_a_run_of_any_name_is_found_by_it(opened: Store) -> None:
    name = """'"` OR 1 = 1 -- %_\\ ' AND attributes.status = 'FINISHED"""
    run = opened.client.create_run(opened.experiment("digits"), 1, run_name=name).info.run_id
    assert addresses.run_id(opened, name) == run


def test_a_fault_in_the_winner_of_a_race_names_its_trial(opened: Store) -> None:
    experiment = opened.experiment("raced")
    tags = {"mlp_study.kind": "trial", "mlp_study.whole": "4"}
    run = opened.client.create_run(experiment, 1, tags, "trial 4, all replicates").info.run_id
    opened.client.set_terminated(run)
    tags = {"mlp_study.kind": "replicate", "mlflow.parentRunId": run, "mlp_study.replicate": "0"}
    opened.client.create_run(experiment, 1, tags, "trial 4/0")
    with pytest.raises(BadInput, match="valid: a replicate of trial 4: 0 to 0"):
        addresses.run_id(opened, "raced/4/9")


def test_a_run_is_found_by_its_first_digits(opened: Store) -> None:
    run = addresses.run_id(opened, "plain/0/1")
    assert addresses.run_id(opened, run) == run
    for length in (31, 16):
        assert addresses.run_id(opened, run[:length]) == addresses.run_id(opened, run[:length].upper()) == run
    with pytest.raises(BadInput, match=re.escape(f"RUN: got '{run[:3]}'; valid: ")):
        addresses.run_id(opened, run[:3])


def test_digits_that_several_runs_begin_with_are_told_with_these(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "PREFIX", re.compile("[0-9a-f]{1,31}"))
    runs = [run for run in opened.search("") if run.data.tags.get("mlp_study.trial")]
    # not the digit that is a study's name
    [(digit, count)] = Counter(run.info.run_id[0] for run in runs if run.info.run_id[0] != "a").most_common(1)
    assert count > 1
    with pytest.raises(BadInput, match=r"one of the \d+ runs that it may mean: (\S.* \(run [0-9a-f]{12}\)(, )?)+"):
        addresses.run_id(opened, digit)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("trial 2", ["one of the 3 runs that it may mean: ", "plain/2 (run ", "a/2 (run ", "a/12/2 (run "]),
        ("a/12/1", ["one of the 2 runs that it may mean: ", "a/12/1 (run "]),  # a's trial 12, replicate 1, or a/12's trial 1
        ("plain/9", ["valid: a trial of study plain, whose last is plain/3"]),
        ("plain/1/7", ["valid: a replicate of trial 1: 0 to 1"]),
        ("failed only", ["valid: a study with a finished trial; failed only has none"]),
        ("plane/3", ["valid: did you mean plain? the id of a run in sqlite:///"]),
        ("plane", ["valid: did you mean plain? "]),
        ("nothing like it", ["valid: the id of a run in sqlite:///", "STUDY/12", "studies: "]),
        ("deleted", ["valid: the id of a run"]),
        ("", ["valid: the id of a run"]),
        ("plain/", ["valid: "]),
        ("/3", ["valid: "]),
        ("plain/-1", ["valid: "]),
        ("plain/1/0/0", ["valid: "]),
        ("plain/" + "9" * 99, ["valid: "]),
        ("plain/१", ["valid: "]),  # a digit, but not ours
        ("%", ["valid: the id of a run"]),  # any name, in SQL
        ("trial 1_", ["valid: the id of a run"]),
        ("\x1b[2J\n", [r"RUN: got '\x1b[2J\n'; valid: the id of a run"]),
        ("' OR attributes.status = 'FINISHED", ["valid: the id of a run"]),
    ],
)
def test_what_names_nothing_or_too_much_is_told(text: str, told: list[str], opened: Store) -> None:
    with pytest.raises(BadInput) as error:
        addresses.run_id(opened, text)
    assert str(error.value).startswith(f"RUN: got {text!r}; valid: ") and "\n" not in str(error.value)
    for part in told:
        assert part in str(error.value)


def test_the_best_trial_is_that_of_the_studys_own_objective(opened: Store) -> None:
    known: Callable[[str], int | None] = {"plain": 2, "newest": 0, "dash-ed/name": 1}.get
    for text, expected in (("plain", "plain: trial 2"), ("best/1", "newest: trial 0/1"), ("dash-ed/name", "dash-ed/name: trial 1")):
        assert name_of(opened, addresses.run_id(opened, text, known)) == expected
    assert name_of(opened, addresses.run_id(opened, "a", known)) == "a: trial 0"


def test_without_studies_there_is_no_best(tmp_path: Path) -> None:
    empty = store.connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(BadInput, match="a study with trials; there is none in"):
        addresses.run_id(empty, "best")
    with pytest.raises(BadInput, match="studies: none yet"):
        addresses.run_id(empty, "plain")
    assert addresses.page(empty, None) == "/"
    with pytest.raises(BadInput, match="none yet"):
        addresses.page(empty, "first")


@pytest.mark.parametrize("text", ["best", "plain/3", "a/b/3/4", "x/best", "x/best/2", "0123", "ab" * 16])
def test_what_can_only_be_meant_as_an_address_looks_like_one(text: str) -> None:
    assert addresses.looks_like(text)


@pytest.mark.parametrize("text", ["plain", "a/b", "012", "best-of", "trial", "x/y/best-of", "ab" * 17, ""])
def test_what_may_be_a_studys_name_does_not(text: str) -> None:
    assert not addresses.looks_like(text)


# -- files -------------------------------------------------------------------------------------------------------------------


def weights(file: Path, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    arrays = {"kernel_0": (2, 3, 4), "bias_0": (2, 4), "kernel_1": (2, 4, 1), "bias_1": (2, 1)}
    np.savez(file, **{name: rng.normal(size=shape).astype(np.float32) for name, shape in arrays.items()})
    return str(file)


def test_a_file_of_weights_is_networks_of_which_nothing_else_is_known(tmp_path: Path) -> None:
    file = weights(tmp_path / "mine.npz")
    absent = f"sqlite:///{tmp_path / 'absent.db'}"
    found = addresses.networks(absent, [file, file])
    assert [each.name for each in found] == [f"{file}/0", f"{file}/1"] * 2
    assert [each.network.architecture for each in found] == ["3-4-1"] * 4
    assert all(np.isnan(each.val_loss) and not each.config and not each.predictions.size for each in found)
    assert not (tmp_path / "absent.db").exists()
    with pytest.raises(BadInput, match="a file that exists"):
        addresses.networks(absent, [str(tmp_path / "absent.npz")])


def test_a_study_may_be_called_like_a_file_that_is_not_there(
    opened: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(addresses.reader, "load_networks", lambda store, run_id, **_: [name_of(store, run_id)])
    assert addresses.networks(opened.uri, ["tuned.npz"]) == ["tuned.npz: trial 1"]
    with pytest.raises(BadInput, match=r"a file of weights \(\.npz\)"):
        addresses.networks(opened.uri, ["absent.npz"])
    weights(tmp_path / "tuned.npz")
    assert [network.name for network in addresses.networks(opened.uri, ["tuned.npz"])] == ["tuned.npz/0", "tuned.npz/1"]


@pytest.mark.parametrize("text", ["plain/3", "plain/3/1"])
def test_a_trial_that_did_not_complete_is_named_as_the_person_named_it(opened: Store, text: str) -> None:
    with pytest.raises(BadInput, match=f"RUN: got '{text}'; valid: a trial that completed; this one failed$"):
        addresses.networks(opened.uri, [text])


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("FAILED", "diverged: 3 of 3 replicates", "failed: diverged: 3 of 3 replicates"),
        ("KILLED", "pruned after 10 epochs", "was pruned after 10 epochs"),
        ("KILLED", "", "was interrupted"),
        ("RUNNING", "", "is still running"),
    ],
)
def test_the_state_of_a_trial_has_the_words_of_its_study(status: str, reason: str, expected: str) -> None:
    tags = [RunTag("mlp_study.kind", "trial"), *([RunTag("failure", reason)] if reason else [])]
    info = RunInfo("id", "0", "", status, 1, None, "active")
    assert reader._state_text(Run(info, RunData(tags=tags))) == expected


def test_a_file_that_would_run_something_or_lead_elsewhere_is_damaged(tmp_path: Path) -> None:
    bad = tmp_path / "bad.npz"
    np.savez(bad, kernel_0=np.array([{"a": 1}], dtype=object), bias_0=np.zeros(1))
    link = tmp_path / "link.npz"
    link.symlink_to(weights(tmp_path / "there.npz"))
    text = tmp_path / "text.npz"
    text.write_text("no archive")
    for file in (bad, link, text, tmp_path / "folder.npz"):
        (tmp_path / "folder.npz").mkdir(exist_ok=True)
        with pytest.raises(Corrupt):
            addresses.networks("", [str(file)])


def test_a_folder_without_a_manifest_is_damaged(tmp_path: Path) -> None:
    weights(tmp_path / artifacts.WEIGHTS)
    with pytest.raises(Corrupt, match="incomplete"):
        addresses.networks("", [str(tmp_path)])


def test_weights_are_shown_in_a_word() -> None:
    net = Network.of_layers([np.zeros((2, 3), np.float32)], [np.zeros(3, np.float32)])
    assert repr(net) == "Network(2-3)" and repr(Network.stack([net, net])) == "Network(2 × 2-3)"
