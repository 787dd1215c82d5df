"""Say in a few words whether training converges to a single, stable value, and in sentences how far the networks still move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from study.analysis import motion, verdict
from study.analysis.convergence import DIVERGED, IMPROVING, OSCILLATING, SLOW, STUCK, UNDECIDED
from study.records.outcome import MotionSummary, Onward, Standing, Summary
from study.reporting.report import listed, median, number

HEADLINES = {
    verdict.SAME_WEIGHTS: "Yes, bit for bit",
    verdict.SAME_ROUNDING: "Yes, up to rounding",
    verdict.SAME_SYMMETRY: "Yes, up to the symmetry of its neurons",
    verdict.SAME_FUNCTION: "One function, different weights",
    verdict.WITHIN_WOBBLE: "One function up to its wobble, different weights",
    verdict.SAME_LOSS: "One loss, different functions",
    verdict.DIFFERENT_LOSS: "No: different losses",
    verdict.UNDECIDED: "Not decided",
}
# what the training losses of networks that have not plateaued do
UNSETTLED = {
    IMPROVING: "Too early to say: the training loss still falls",
    OSCILLATING: "No: the training loss oscillates",
    DIVERGED: "No: training diverges",
    STUCK: "Too early to say: by training loss, nothing has been learned yet",
    SLOW: "Too early to say: the weights are on their way in a straight line, and little has been learned yet",
    UNDECIDED: "Not decided: the training loss doesn't show yet whether it still falls",
}


# how networks diverged, where all did so in one way
DIVERGING = {
    motion.NOT_FINITE: ", to numbers that aren't finite",
    motion.BOUNCING: ", going back and forth from epoch to epoch",
    motion.GROWN: ", with a loss that has grown",
}


def headline(summary: Summary) -> str:
    """Return whether training converges to a single, stable value, in a few words, by a trial's replicates.

    The verdict on them says so; or their motion, where they were trained until they rest.
    """
    if summary.until_rest and summary.motion and len(summary.val_losses) > 1:
        return of_motion(summary, max(summary.until_rest))
    count = sum(summary.labels.values())
    if (name := verdict.name_of(summary.verdict or "")) in HEADLINES:
        return HEADLINES[name]
    if name is None:
        return "Not decided: no verdict was recorded" if count > 1 else "Not decided: one network can't show it"
    label = unsettled(summary)
    kinds = list(summary.kinds.get(label, ()))
    how = DIVERGING.get(kinds[0], "") if len(kinds) == 1 else ""
    return f"{UNSETTLED[label]}{how} ({summary.labels.get(label, 0)} of {count} replicates)"


def of_onward(onward: Onward) -> str:
    """Return whether training converges to a single, stable value, by replicates that were trained on until they rest."""
    summary = onward.summary
    if summary is None or summary.motion is None:
        return f"No: training diverges when it goes on ({onward.reason})"
    return of_motion(summary, max(onward.trained))


def of_motion(summary: Summary, epochs: int) -> str:
    """Return the same by how replicates move in their last epochs, and by the verdict where they rest. epochs: the most trained."""
    moved = summary.motion
    assert moved is not None
    count = len(moved.held)
    if max(moved.weights.count(motion.OSCILLATING), moved.function.count(motion.OSCILLATING)) > count / 2:
        return "No: training goes back and forth from epoch to epoch"
    resting = _resting(moved)
    weights, functions = (sum(of_part) for of_part in zip(*resting, strict=True))
    name, at_rest = verdict.name_of(summary.verdict or ""), sum(map(all, resting))
    if min(weights, functions) > count / 2:
        if name not in HEADLINES:
            but = ", but by training loss not all have plateaued" if name == verdict.NOT_CONVERGED and at_rest == count else ""
            return f"Not decided: {share(at_rest, count)} networks come to rest{but}"
        held = all(moved.held)
        if name == verdict.UNDECIDED:
            by = ", held by its learning rate" if held else ""
            return f"Each run comes to rest{by}; whether all of them do so at the same point isn't decided"
        return HEADLINES[name] + (", each run held by its learning rate" if held else "")
    moving, changing = (_moving(labels, moved.held) for labels in (moved.weights, moved.function))
    unclear = count - functions - changing
    after = f"after {epochs:,} epochs"
    if weights > count / 2:
        if changing <= unclear:
            return (
                f"Not decided: the weights of {share(weights, count)} networks rest; the motion of {unclear} "
                f"{'function' if unclear == 1 else 'functions'} is unclear"
            )
        return f"No: the functions of {share(changing, count)} networks still move {after}"
    if moving <= count / 2:
        return f"Not decided: the weights of {moving} of {count} networks are seen to move {after}, those of {weights} to rest"
    if functions > count / 2:
        which = {verdict.SAME_LOSS: ", another one in each run", verdict.DIFFERENT_LOSS: ", another one in each run"}
        which |= {verdict.SAME_FUNCTION: ", the same in all runs", verdict.WITHIN_WOBBLE: ", the same in all runs"}
        scattered = moved.function.count(motion.CONFINED) > functions / 2
        learning = any(summary.labels.get(label) for label in (IMPROVING, SLOW))
        rest = "stay around one point" if scattered else "hardly change" if learning else "come to rest"
        still = f"the weights of {share(moving, count)} networks keep moving"
        return f"No: {still}, while the functions of {share(functions, count)} {rest}{which.get(name or '', '')}"
    if moving == changing:
        return f"No: weights and functions of {share(moving, count)} networks still move {after}"
    if changing > unclear:
        also = "so does the function of 1" if changing == 1 else f"so do the functions of {changing}"
    else:
        also = "the function of 1 shows no clear motion" if unclear == 1 else f"the functions of {unclear} show no clear motion"
    return f"No: the weights of {share(moving, count)} networks still move {after}; {also}"


def share(part: int, count: int) -> str:
    """Return how many of several, in words: all 8, both, 3 of 8."""
    if part == count > 1:
        return "both" if count == 2 else f"all {count}"
    return f"{part} of {count}"


def weights_move(summary: Summary) -> bool:
    """Return True if the weights of most networks are seen to move."""
    moved = summary.motion
    return moved is not None and _moving(moved.weights, moved.held) > len(moved.held) / 2


def rest(summary: Summary) -> bool:
    """Return True if the weights and the functions of all networks are at rest."""
    return summary.motion is not None and all(map(all, _resting(summary.motion)))


def _moving(labels: Sequence[str], held: Sequence[bool]) -> int:
    return sum(motion.moves(label, low) for label, low in zip(labels, held, strict=True))


def _resting(moved: MotionSummary) -> list[tuple[bool, bool]]:
    """Return whether each network's weights, and its function, are at rest."""
    each = zip(moved.weights, moved.function, moved.held, strict=True)
    return [(motion.rests(weights, held), motion.rests(function, held)) for weights, function, held in each]


def unsettled(summary: Summary) -> str:
    """Return the most frequent label of UNSETTLED, of two equally frequent ones the first.

    Labels with which a network whose function rests is taken for plateaued come last where all functions rest.
    """
    still = summary.motion is not None and all(function for _, function in _resting(summary.motion))
    counted = [label for label in UNSETTLED if summary.labels.get(label) and not (still and label in verdict.PLATEAUED_AT_REST)]
    return max(counted or UNSETTLED, key=lambda label: summary.labels.get(label, 0))


def moved_sentences(summary: Summary, onward: Onward | None, classifies: bool) -> Iterator[str]:
    """Yield sentences on how far the networks still move, and on where they end if that was measured."""
    if moved := summary.motion:
        wander, wobble = (median(moved.numbers[name]) for name in ("wander", "wobble"))
        if wander is not None and wobble is not None:
            unit = "of the validation rows" if classifies else "of the target's standard deviation"
            yield (
                f"At the end of training the motion of the weights is {_counted(moved.weights)} (two of the last epochs are "
                f"{number(wander)} apart), and that of the function {_counted(moved.function)} ({_percent(wobble)} {unit})"
                f"{', held by the learning rate' if all(moved.held) else ''}."
            )
    if onward and onward.standing:
        yield _standing_text(onward.standing)


def _standing_text(standing: Standing) -> str:
    """Return where networks end, in sentences."""
    count = len(standing.gradient)
    places = {
        "at a stationary point, where the gradient is almost zero": standing.stationary,
        "on a saddle, where it is too and the loss curves down": standing.saddles,
        "at neither a stationary point nor a saddle": count - standing.stationary - standing.saddles,
    }
    (place, first), *others = [(place, its) for place, its in places.items() if its]
    numbers = (
        f"a step along the gradient would gain at least {number(median(standing.gradient))} of the trivial loss; the smallest "
        f"curvature over the largest is {number(median(standing.curvature))}"
    )
    if standing.edge:
        numbers += f"; the largest times the learning rate is {number(median(standing.edge))} (2 is the edge of stability)"
    if count == 1:
        return f"The one whose curvature was measured is {place}: {numbers}."
    first_are = f"{share(first, count) if first == count else first} {'is' if first == 1 else 'are'} {place}"
    if not standing.stationary + standing.saddles:
        first_are = "none is at a stationary point or on a saddle"
    rest = "".join(f"; {its} {place}" for place, its in others)
    return f"Of the {count} whose curvature was measured, {first_are}{rest}. Medians over these {count}: {numbers}."


def trained_on(onward: Onward) -> str:
    """Return for how long replicates were trained on, in words that follow them."""
    return (
        f"were trained on for this question, without early stopping, until they rest or for {onward.most:,} epochs at most: for "
        f"{_span(onward.trained)} epochs"
    )


def lowest(onward: Onward) -> str:
    """Return when the validation loss of replicates that were trained on was lowest, in brackets after a blank."""
    return "" if onward.best_loss is None else f" (at its lowest {number(onward.best_loss)}, after {_span(onward.best)} epochs)"


def at_rest(summary: Summary) -> int:
    """Return how many networks have both weights and function at rest."""
    return sum(map(all, _resting(summary.motion))) if summary.motion else 0


def _counted(labels: Sequence[str]) -> str:
    counts = Counter(labels).most_common()
    return listed([label if len(counts) == 1 else f"{count} × {label}" for label, count in counts])


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%"


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
