"""Records and messages between a trainer and the writer: read back as they were, those that earlier versions left too."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from study.records.cohort import Leg
from study.records.outcome import Completed, Failed, Pruned, Summary
from study.tracking import descriptions, messages, schema
from study.tracking.messages import LegCurves, SpoolRecord, Trained, TrialStart
from study.tracking.schema import ReplicateTags, TrialTags

START = TrialStart(
    "tiny", "trial 3", 3, {"optimizer": "adam", "model.units": [4], "seed": 0}, [0, 1], {"init": [5, 6]}, {"name": "a"}
)
LEGS = [LegCurves(1_000, 2, [[0.5, None], [0.4, 0.3]], [[0.6, 0.5], [0.5, 0.4]], [0.5, 0.4])]
SUMMARY = Summary(
    val_losses=[0.5, 0.4],
    val_loss_mean=0.45,
    val_loss_std=0.1,
    val_loss_halfwidth=None,
    train_loss_mean=0.3,
    distance=1.4,
    disagreement=0.2,
    distinct=2,
    labels={"plateaued": 2},
    scores={"r2": [0.5, 0.7]},
    verdict="undecided",
    reasons=["a", "b"],
    improvements=[[0.1, 0.2], None],
    relative_losses=[0.3, 0.4],
)
TRAINED = Trained(SUMMARY, ["aa", "bb"], ["plateaued", "plateaued"], [2, 1], ["xx", "yy"])
COMPLETE = SpoolRecord(START, "FINISHED", None, LEGS, TRAINED)


@pytest.mark.parametrize(
    "message",
    [
        messages.Prepare(unwatched=True),
        messages.OpenTrial("k", "/f", START),
        messages.OpenTrial("k", "/f", dataclasses.replace(START, number=None, data=None)),
        messages.OpenTrial("k", "/f", dataclasses.replace(START, number=None, whole=3)),
        messages.SendCurves("/f", LEGS),
        messages.CloseTrial("/f"),
        messages.OpenExperiment("k", "tiny", ["optimizer"]),
        messages.FindTrials("k", "tiny"),
        messages.KeepStudy("k", "tiny", {"answer": "Yes."}, {"data": "iris"}, {"trials.md": "|"}, ["/a"]),
        messages.KeepFiles("k", "run", ["/a"]),
        messages.Disown("tiny", {3: 1.5}),
        messages.Disown("tiny", {}, {3: None, 4: "run"}),
        messages.KeepRace("tiny", [messages.RacedTrial(3, "run", [0.5, 0.25], {"val_loss_mean": 0.375})]),
        messages.KeepRace("tiny", [messages.RacedTrial(3, None, [], {}, "diverged")]),
        messages.Drain("k"),
        messages.Answered("k", "run"),
        messages.Refused("disk full", 4),
        messages.Ended(),
    ],
)
def test_a_message_is_one_line_that_is_read_back_as_it_was(message: Any) -> None:
    line = messages.encode(message)
    assert line.count("\n") == 1 and messages.decode(line) == message


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        (COMPLETE, Completed(SUMMARY)),
        (dataclasses.replace(COMPLETE, status="FAILED", reason="diverged", trained=None), Failed("diverged")),
        (dataclasses.replace(COMPLETE, status="KILLED", reason=None, trained=None), None),
    ],
)
def test_a_record_is_read_back_with_its_outcome(record: SpoolRecord, outcome: object) -> None:
    read = SpoolRecord.from_json(record.to_json())
    assert read == record and read.outcome == outcome


def test_a_pruned_trials_record_says_after_which_epoch() -> None:
    record = dataclasses.replace(COMPLETE, status="KILLED", reason="pruned after 2 epochs", trained=None)
    outcome = SpoolRecord.from_json(record.to_json()).outcome
    assert isinstance(outcome, Pruned) and outcome.epoch == 2 and math.isnan(outcome.value)


def test_a_record_that_version_0_1_left_is_read() -> None:
    """With settings as texts, under another key, and without what came later."""
    content = json.loads(COMPLETE.to_json())
    params = {"optimizer": "adam", "model.units": "[4]", "seed": "0", "training.patience": "None", "replicates.vary": "('init',)"}
    for key in ("settings", "searchable", "data"):
        del content[key]
    for key in ("improvements", "relative_losses", "judged_by"):
        del content["summary"][key]
    read = SpoolRecord.from_json(json.dumps(content | {"params": params}))
    assert read.start.settings["model.units"] == [4] and read.start.settings["training.patience"] is None
    # MLflow refuses a parameter that changes
    assert schema.parameters(read.start.settings) == params
    assert read.trained and read.start.data is None and list(read.trained.searchable) == []
    assert schema.replicate_metrics(read.trained.summary, 1) == {"val_r2": 0.7}


def test_what_is_not_finite_is_null_in_a_legs_curves() -> None:
    losses = np.array([[0.5, np.nan], [np.inf, 0.25]], np.float32)
    leg = LegCurves.of_leg(7, Leg(2, losses, losses, losses, np.array([True, False]), losses[1]))
    assert leg.train_loss == leg.val_loss == [[0.5, None], [None, 0.25]] and list(leg.current) == [None, 0.25]


# -- the schema ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tags",
    [
        TrialTags("key", "host:1:2", 0),
        TrialTags("key", "host:1:2"),
        TrialTags("key", "o", 12, "2 plateaued", "undecided", ("a", "b"), "because"),
        ReplicateTags(0, "key"),
        ReplicateTags(3, "key", "aa", "plateaued", 7, "v1:k:x"),
    ],
)
def test_tags_are_read_back_as_they_were_written(tags: TrialTags | ReplicateTags) -> None:
    written = tags.as_tags()
    assert set(written) <= set(schema.TAGS) and all(written.values())
    assert type(tags).from_tags(written) == tags


def test_parameters_seeds_and_metrics_of_a_replicate() -> None:
    params = schema.parameters({**START.settings, "sampled": 0.0028779240317662303, "chosen": 0.00125, "tiny": 1.2345678e-9})
    assert params == {
        "optimizer": "adam",
        "model.units": "[4]",
        "seed": "0",
        "sampled": "0.00288",
        "chosen": "0.00125",
        "tiny": "1.23e-09",
    }
    assert schema.setting(params, "model.units") == [4] and schema.setting(params, "absent") is None
    tags = schema.seed_tags(START.seeds_of(1))
    assert tags == {"seed.init": "6"} and schema.seeds(tags, {}) == schema.seeds({}, tags) == {"init": 6}
    metrics = schema.replicate_metrics(SUMMARY, 0)
    assert metrics == {"val_r2": 0.5, "loss_over_trivial": 0.3, "improvement_low": 0.1, "improvement_high": 0.2}
    assert "improvement_low" not in schema.replicate_metrics(SUMMARY, 1)


def test_metrics_of_a_trial_leave_out_what_is_not_known() -> None:
    metrics = schema.trial_metrics(SUMMARY)
    assert metrics["val_r2"] == pytest.approx(0.6) and metrics["distance"] == 1.4
    assert not {"aligned", "val_loss_halfwidth", "verdict"} & metrics.keys()


def test_a_long_parameter_is_cut_where_mlflow_would_refuse_it() -> None:
    text = schema.parameters({"data.drop": "x" * 7_000})["data.drop"]
    assert len(text) == schema.LONGEST_PARAMETER and "…" in text


@pytest.mark.parametrize(
    ("number", "replicate", "expected"),
    [(12, None, "s/12"), (12, 3, "s/12/3"), (0, 0, "s/0/0"), (None, None, "s, adam 0.1"), (None, 3, "s, adam 0.1/3")],
)
def test_addresses(number: int | None, replicate: int | None, expected: str) -> None:
    assert schema.address("s", "adam 0.1", number, replicate) == expected


def test_a_trial_in_a_race_is_described_by_all_its_replicates_however_often_it_gets_more() -> None:
    note = "Validation loss **0.5**; 4 undecided. [Compare](x)\n\n- 4 different fingerprints"
    for losses, loss in (([0.4] * 8, 0.4), ([0.3] * 12, 0.3)):
        trial = messages.RacedTrial(3, "run", losses, {"val_loss_mean": loss, "val_loss_halfwidth": 0.01})
        note = descriptions.with_later(note, trial)
    assert note == (
        "Over all 12 replicates of the race, the validation loss is **0.300 ± 0.010**. The first ones, which this run holds: "
        "validation loss **0.5**; 4 undecided. [Compare](x)\n\n- 4 different fingerprints"
    )
    assert descriptions.with_later(note, messages.RacedTrial(3, "run", [], {}, "diverged")) == note
    assert descriptions.with_later("", trial) == ""
