"""The picture of error against time, in which every method is a point."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowkit.bench.timing import Measurement
from flowkit.errors import InputError

INK, GREY, ACCENT, FAINT = "#222222", "#8a8f98", "#c8402a", "#e6e8eb"
OURS = "flowkit "
PLACES = ((6, 4), (-9, 0), (6, -4), (9, 0), (0, 9), (0, -9), (-6, 6), (-6, -6), (0, 20), (0, -20), (14, 18), (14, -18))
"""Where a label may stand beside its point, in typographic points; the first place that is free is taken."""


def plot(block: Sequence[Measurement], picture: Path) -> None:
    """Writes the picture of one size and number of threads; flowkit's points stand out.

    Raises:
        InputError: where matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 5.2), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _frame(axes, block)
    _points(axes, block)
    _frontier(axes, block)
    figure.draw_without_rendering()
    _label(figure, axes, block)
    figure.savefig(picture)


def require_matplotlib() -> None:
    """InputError that says how to get matplotlib, where it is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("the plot needs matplotlib, which is not installed: pip install 'flowkit-mer[train]'")


def unbeaten(block: Sequence[Measurement]) -> list[Measurement]:
    """The methods than which no other is both faster and more accurate, fastest first."""
    best: list[Measurement] = []
    for m in sorted(block, key=lambda m: (m.seconds, m.error_px)):
        if not best or _error(m) < _error(best[-1]):
            best.append(m)
    return best


def _error(m: Measurement) -> float:
    assert m.error_px is not None, f"{m.method} has no error"
    return m.error_px


def _frame(axes: Any, block: Sequence[Measurement]) -> None:
    first, milliseconds = block[0], [1e3 * m.seconds for m in block]
    axes.set_xscale("log")
    axes.set_xlim(min(milliseconds) / 2.2, max(milliseconds) * 5)
    axes.set_ylim(0, 1.12 * max(map(_error, block)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("time a pair, ms")
    axes.set_ylabel("mean endpoint error, px")
    amplitudes = list(first.errors_px)
    threads = "one thread" if first.threads == 1 else f"{first.threads} threads"
    title = f"Faces that move by {amplitudes[0]} to {amplitudes[-1]} px, {first.size}, {threads}"
    axes.set_title(title, loc="left", color=INK, fontsize=12, fontweight="bold")
    axes.grid(True, which="major", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(color=GREY, labelcolor=INK, which="both")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)


def _points(axes: Any, block: Sequence[Measurement]) -> None:
    """Two kinds of points, flowkit's on top."""
    for ours, name, colour, area in ((False, "other methods", GREY, 42), (True, "flowkit, by preset", ACCENT, 95)):
        chosen = [m for m in block if m.method.startswith(OURS) == ours]
        x, y = [1e3 * m.seconds for m in chosen], [_error(m) for m in chosen]
        axes.scatter(x, y, s=area, color=colour, edgecolor="white", linewidth=0.8, zorder=4 if ours else 3, label=name)


def _frontier(axes: Any, block: Sequence[Measurement]) -> None:
    best = unbeaten(block)
    x = [1e3 * m.seconds for m in best] + [axes.get_xlim()[1]]
    y = [_error(m) for m in best] + [_error(best[-1])]
    axes.step(x, y, where="post", color=ACCENT, alpha=0.35, linewidth=1.4, zorder=2, label="least error in that time")
    axes.legend(loc="lower right", frameon=False, fontsize=9, labelcolor=INK, reverse=True)


def _label(figure: Any, axes: Any, block: Sequence[Measurement]) -> None:
    """Every point's name, where it covers neither a point nor another name; flowkit's names choose first."""
    renderer = figure.canvas.get_renderer()
    points = axes.transData.transform([(1e3 * m.seconds, _error(m)) for m in block])
    taken = [_square(x, y) for x, y in points]
    for m, own in sorted(zip(block, list(taken), strict=True), key=lambda item: not item[0].method.startswith(OURS)):
        text = _text(axes, m)
        for place in (*PLACES, PLACES[0]):
            _move(text, place)
            box = text.get_window_extent(renderer)
            if not any(box.overlaps(other) for other in taken if other is not own):
                break
        taken.append(box)


def _text(axes: Any, m: Measurement) -> Any:
    ours = m.method.startswith(OURS)
    look = {"color": ACCENT, "fontsize": 11, "fontweight": "bold"} if ours else {"color": INK, "fontsize": 9}
    where = (1e3 * m.seconds, _error(m))
    return axes.annotate(m.method.removeprefix(OURS), where, (0, 0), textcoords="offset points", zorder=5, **look)


def _move(text: Any, place: tuple[int, int]) -> None:
    x, y = place
    text.set_position(place)
    text.set_horizontalalignment("left" if x > 0 else "right" if x < 0 else "center")
    text.set_verticalalignment("bottom" if y > 0 else "top" if y < 0 else "center")


def _square(x: float, y: float, half_px: float = 8.0) -> Any:
    from matplotlib.transforms import Bbox

    return Bbox([[x - half_px, y - half_px], [x + half_px, y + half_px]])
