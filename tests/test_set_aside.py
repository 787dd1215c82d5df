"""Records that can't be sent to MLflow, because they are damaged or MLflow refuses them: set aside, named, and in nobody's way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from study import locations
from study.tracking import schema, spool
from study.tracking.messages import SpoolRecord, TrialStart
from tests.command import DEAD, client, ran, run

TINY = ["data=iris", "training.epochs=2", "replicates.count=2", "model.units=[4]"]


def left(folder: Path, content: bytes, number: int) -> None:
    """Leave the folder of a trial whose process is gone, with this record."""
    made = folder / spool.FOLDER / f"{DEAD}-{number:012}"
    (made / spool.FILES).mkdir(parents=True)
    (made / spool.RECORD).write_bytes(content)


def record(**settings: int) -> bytes:
    start = TrialStart("elsewhere", "adam", None, settings, [0], {"init": [1]}, None)
    return SpoolRecord(start, "FAILED", "diverged", []).to_json().encode()


DAMAGED = {
    "empty": b"",
    "truncated": record()[:40],
    "no keys": b"{}",
    "a list": b"[]",
    "nothing": b"null",
    "no text": b"\xff\xfe\x00",
    "refused by MLflow": record(**{"a?b": 1}),
}


def test_records_that_cannot_be_sent_are_set_aside_and_others_are_sent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, content in enumerate(DAMAGED.values()):
        left(tmp_path, content, number)
    ran(tmp_path, *TINY)
    assert list((tmp_path / spool.FOLDER).iterdir()) == []
    aside = sorted((tmp_path / spool.ASIDE).iterdir(), key=spool.key_of)
    assert [(folder / spool.RECORD).read_bytes() for folder in aside] == list(DAMAGED.values())
    assert all((folder / spool.REASON).read_text().strip() for folder in aside)
    said = capfd.readouterr().err
    assert all(str(folder) in said for folder in aside)
    monkeypatch.chdir(tmp_path)
    finished = client().search_runs([client().get_experiment_by_name("iris").experiment_id], "attributes.status = 'FINISHED'")
    assert len(finished) == 3
    assert run("doctor", "--json") == 0
    notes = json.loads(capfd.readouterr().out)["notes"]
    assert all(any(folder.name in note for note in notes) for folder in aside)


def test_long_values_are_shortened_for_mlflow_and_a_digest_keeps_them_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, dropped = "t" * 10_000, [f"column number {number:04}" for number in range(400)]
    header = ",".join(["x", target, *dropped])
    rows = "".join(f"{row},{row % 7},{','.join('0' * len(dropped))}\n" for row in range(40))
    (tmp_path / "t.csv").write_text(f"{header}\n{rows}")
    table = ["data=table", "data.path=t.csv", f"data.target={target}", f"data.drop=[{','.join(dropped)}]", "training.batch_size=8"]
    ran(tmp_path, *table, "training.epochs=2", "replicates.count=2", "model.units=[4]")
    monkeypatch.chdir(tmp_path)
    [trial] = client().search_runs([client().get_experiment_by_name("table").experiment_id], "tags.`mlp_study.kind` = 'trial'")
    assert trial.info.status == "FINISHED"
    for key in ("data.target", "data.drop"):
        assert len(trial.data.params[key]) == schema.LONGEST_PARAMETER and "sha256" in trial.data.params[key]
    assert (
        target
        in Path(locations.tracking_uri(None).removeprefix("sqlite:///"))
        .parent.joinpath("mlruns", "table", trial.info.run_id, "artifacts", "config.yaml")
        .read_text()
    )
    ran(tmp_path, *TINY)


@pytest.mark.parametrize(
    ("text", "longest"),
    [("a", 6_000), ("a" * 6_000, 6_000), ("a" * 6_001, 6_000), ("a\0b", 6_000), ("\ud800", 6_000), ("é" * 9_000, 8_000)],
)
def test_a_shortened_text_fits(text: str, longest: int) -> None:
    short = schema._shortened(text, longest)
    assert len(short) <= longest and "\0" not in short
    short.encode()
    assert (short == text) is (len(text) <= longest and text.isprintable())
    assert schema._shortened(text + "!", longest) != short
