"""Pictures of one trial's replicates, drawn from what its run keeps, and kept with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from study import disagreement, report
from study.records import TrialRecord


def draw(uri: str, record: TrialRecord, folder: Path) -> Path | None:
    """The portrait of a completed trial, drawn into `folder`; None for a trial of one network."""
    from study import figures
    from study.tracking import reader, store

    kept = reader.load_trial(store.existing(uri), record.run_id or "")
    found = kept.comparison
    if not found:
        return None
    classes = disagreement.kind(kept.target) == "churn"
    of = "error" if classes else "loss"
    # the last epoch that a replicate has trained
    trained = np.isfinite(kept.val_loss).sum(axis=1)
    final = kept.val_loss[np.arange(len(trained)), np.maximum(trained, 1) - 1]
    chosen = found["places"]
    settings = f" ({report.settings_text(record.params)})" if record.params else ""
    portrait = figures.Portrait(
        title=f"trial {record.number}{settings}: {record.summary.verdict if record.summary else ''}",
        train_loss=kept.train_loss,
        val_loss=kept.val_loss,
        numbers=[str(number) for number in chosen],
        final_loss=final[chosen],
        relative_l2=found["relative_l2"],
        aligned=found["aligned"],
        null=float(found["null"]),
        disagreement=found.get("disagreement"),
        kind=disagreement.kind(kept.target),
        alphas=found.get("alphas"),
        raw_path=found.get(f"raw_{of}"),
        aligned_path=found.get(f"aligned_{of}"),
        path_of="validation error" if classes else "training loss",
    )
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "portrait.png"
    figures.portrait(portrait, file)
    return file
