"""Pictures of one trial's replicates, drawn from what its run keeps, and kept with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from study.analysis import disagreement
from study.records.outcome import Summary
from study.records.tracked import Portrait, TrackedTrial


def of(kept: TrackedTrial, title: str, summary: Summary) -> Portrait | None:
    """What a picture of a completed trial shows; None for a trial of one network."""
    found = kept.comparison
    if not found:
        return None
    classes = disagreement.kind(kept.target) == "churn"
    path = "error" if classes else "loss"
    chosen = found["places"]
    return Portrait(
        title=title,
        train_loss=kept.train_loss,
        val_loss=kept.val_loss,
        numbers=[str(kept.numbers[place]) for place in chosen],
        final_loss=np.array(summary.val_losses)[chosen],
        relative_l2=found["relative_l2"],
        aligned=found["aligned"],
        null=float(found["null"]),
        disagreement=found.get("disagreement"),
        kind=disagreement.kind(kept.target),
        alphas=found.get("alphas"),
        raw_path=found.get(f"raw_{path}"),
        aligned_path=found.get(f"aligned_{path}"),
        path_of="validation error" if classes else "training loss",
    )


def draw(uri: str, run_id: str, title: str, summary: Summary, folder: Path) -> Path | None:
    """The portrait of the completed trial of this run, drawn into `folder`; None for a trial of one network."""
    from study.reporting import figures
    from study.tracking import reader, store

    portrait = of(reader.load_trial(store.existing(uri), run_id), title, summary)
    if portrait is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    figures.portrait(portrait, folder / "portrait.png")
    return folder / "portrait.png"
