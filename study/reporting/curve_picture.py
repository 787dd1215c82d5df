"""A picture of a trial's loss curves as SVG, which viewers such as MLflow's show beside another trial's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from study.records.arrays import Array, Floats
from study.records.cohort import Cohort
from study.reporting.axes import Axis

WIDTH, HEIGHT, LEFT, RIGHT, HEAD, FOOT = 480, 300, 56, 20, 34, 40
MOST_LINES, MOST_POINTS = 8, 100  # replicates that are drawn, and epochs of each
LOG_FROM = 4  # times the least loss, from which on the axis is logarithmic
PARTS = (("training", "train_loss", "#2a7fc1"), ("validation", "val_loss", "#d9641e"))
FONT = "font: 12px system-ui, sans-serif; background: white"


def svg(trained: Cohort) -> str:
    """Return the picture: training and validation loss of the first MOST_LINES replicates by epoch.

    Where a replicate's kept weights aren't those of its last epoch, dots mark them.
    """
    drawn = min(len(trained), MOST_LINES)
    curves: dict[str, Floats] = {attribute: getattr(trained, attribute)[:drawn] for _, attribute, _ in PARTS}
    epochs = np.unique(np.linspace(1, trained.train_loss.shape[1], MOST_POINTS).round().astype(int))
    kept = trained.val_loss[np.arange(drawn), trained.epoch[:drawn] - 1]
    shown = np.concatenate([*(losses[:, epochs - 1].ravel() for losses in curves.values()), kept])
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    is_log = low > 0 and high / low > LOG_FROM
    room = 0.0 if is_log else (high - low or abs(high) or 1.0) * 0.04
    across = Axis(1, int(epochs[-1]), LEFT, WIDTH - RIGHT)
    up = Axis(low - room, high + room, HEIGHT - FOOT, HEAD, is_log)
    parts = [*_frame(across, up, trained.spec.loss.name)]
    title = f"loss of {drawn} of {len(trained)} replicates" if drawn < len(trained) else f"loss of {_replicates(drawn)}"
    for at, (part, attribute, colour) in enumerate(PARTS):
        parts.append(f'<text x="{LEFT + 90 * at}" y="20" fill="{colour}" font-weight="600">{part}</text>')
        parts += [_line(across, up, epochs, losses, colour) for losses in curves[attribute]]
    parts.append(f'<text x="{WIDTH - RIGHT}" y="20" text-anchor="end" fill="#444">{title}</text>')
    if (trained.epoch < trained.trained).any():
        places = [(across.place(epoch), up.place(loss)) for epoch, loss in zip(trained.epoch[:drawn], kept, strict=True)]
        dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{PARTS[1][2]}"/>' for x, y in places]
        note = f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end" fill="#444">● weights kept</text>'
        parts += [*dots, note]
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" style="{FONT}">'
    return f"{opening}<title>{title}</title>{''.join(parts)}</svg>\n"


def _replicates(count: int) -> str:
    return f"{count} replicates" if count > 1 else "one network"


def _frame(across: Axis, up: Axis, loss: str) -> Iterator[str]:
    """Yield the lines, the numbers and the titles of both axes."""
    for tick in up.ticks():
        y = up.place(tick)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#444">{tick:.6g}</text>'
    for tick in across.ticks():
        if tick == int(tick):
            yield f'<text x="{across.place(tick):.1f}" y="{HEIGHT - FOOT + 16}" text-anchor="middle" fill="#444">{tick:.0f}</text>'
    yield f'<text x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle" fill="#444">epoch</text>'
    middle = (HEAD + HEIGHT - FOOT) / 2
    yield f'<text transform="translate(12 {middle:.0f}) rotate(-90)" text-anchor="middle" fill="#444">{loss}</text>'


def _line(across: Axis, up: Axis, epochs: Array, losses: Floats, colour: str) -> str:
    """Return a replicate's line; one that stopped early ends there."""
    known = [(epoch, loss) for epoch, loss in zip(epochs, losses[epochs - 1], strict=True) if not np.isnan(loss)]
    points = [f"{across.place(epoch):.1f},{up.place(loss):.1f}" for epoch, loss in (known if len(known) > 1 else 2 * known)]
    width = 1.5 if len(known) > 1 else 6  # a dot
    style = (
        f'fill="none" stroke="{colour}" stroke-opacity=".6" stroke-width="{width}" stroke-linejoin="round" stroke-linecap="round"'
    )
    return f'<polyline {style} points="{" ".join(points)}"/>'
