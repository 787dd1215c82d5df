"""The short facts below a study's answer, and the strip of evidence: when, on what data, with which program and machine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime

from study.records.tracked import Circumstances
from study.reporting import on_test, report, wins
from study.reporting.study_results import Findings

OF_DIGESTS = 12  # characters
PARTS = {"training": "to train on", "validation": "to choose by", "test": "to judge by"}


def facts(findings: Findings) -> list[str]:
    """Return at most three short sentences: the best setting, what it is worth, and whether its networks converge."""
    best, sentences = findings.best, []
    if best and best.params:
        sentences.append(f"Trial {best.number} is {report.settings_text(best.params)}.")
    if findings.tested:
        sentences.append(on_test.brief(findings.tested))
    elif not findings.decision and (chosen := wins.choice_brief(findings.choice)):
        sentences.append(chosen)
    if findings.answer.beside:
        sentences.append(findings.answer.beside)
    if findings.decision:
        sentences.append(f"Does it converge? {findings.answer.headline}.")
    return sentences


def strip(findings: Findings, circumstances: Circumstances | None) -> dict[str, str]:
    """Return the evidence in a few words each, by name, as far as it was recorded."""
    states = [record.state for record in findings.records]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "none"
    networks = sum(len(record.summary.val_losses) for record in findings.records if record.summary)
    of_run = dict(_of_run(circumstances)) if circumstances else {}
    return {
        **dict(_time(findings, circumstances)),
        "trials": counts,
        **({"networks": f"{networks:,}"} if networks else {}),
        **of_run,
    }


def _time(findings: Findings, circumstances: Circumstances | None) -> Iterator[tuple[str, str]]:
    started = min((record.started for record in findings.records if record.started), default=None)
    ended = [record.ended for record in findings.records if record.ended]
    if circumstances and circumstances.ended:
        ended.append(circumstances.ended)  # the winner is trained after the last trial
    if started:
        yield "started", f"{datetime.fromtimestamp(started):%Y-%m-%d %H:%M}"
        if ended:
            yield "from start to end", report.duration(max(ended) - started)


def _of_run(known: Circumstances) -> Iterator[tuple[str, str]]:
    of, parts = known.environment, known.parts
    if known.data:
        yield "data", known.data + (f" (sha256 {known.digest[:OF_DIGESTS]})" if known.digest else "")
    if rows := ", ".join(f"{parts[part]:,} {use}" for part, use in PARTS.items() if part in parts):
        yield "rows", rows
    if "mlp_study" in of:
        commit = f", commit {known.commit[:OF_DIGESTS]}" if known.commit else ""
        changed = " with changes" if known.commit.endswith("+") else ""
        yield "program", f"mlp-study {of['mlp_study']}{commit}{changed}, code {of.get('code_sha256', '–')[:OF_DIGESTS]}"
    names = {"tensorflow": "TensorFlow", "keras": "Keras", "numpy": "NumPy", "python": "Python"}
    if versions := ", ".join(f"{name} {of[key]}" for key, name in names.items() if key in of):
        yield "versions", versions
    if "processor" in of:
        # the model comes first, then its instruction sets, in lower case
        words = itertools.takewhile(lambda word: not word.islower() or not word.isalnum(), of["processor"].split())
        yield "machine", f"{' '.join(words) or 'unknown processor'}, {of.get('threads', '?')} threads, {of.get('system', '?')}"
