"""The report's figures, drawn with matplotlib without a display, as SVG text."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ticker import MaxNLocator

INK, ACCENT = "#22303c", "#2f6f8f"
PALETTE = ("#2f6f8f", "#d98b3a", "#7a9e5f", "#8c6bb1", "#b5524d", "#6d7b86")
STYLE: Any = {
    "svg.hashsalt": "flowkit",  # equal figures, equal bytes
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#b8c2ca",
    "xtick.color": INK,
    "ytick.color": INK,
    "text.parse_math": False,  # a group's name may hold a dollar
    "savefig.facecolor": "none",  # the page's own background
    "axes.facecolor": "none",
}
LONGEST_NAME = 28
"""Letters of a group's name in a legend; the report's tables have all of them."""


def draw_confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """The confusion matrix, rows true and columns predicted: counts, and shares of the row as shades."""
    values = np.asarray(counts, dtype=float)
    totals = values.sum(axis=1, keepdims=True)
    share = np.divide(values, totals, out=np.zeros_like(values), where=totals > 0)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2, 3.7), layout="constrained")
        axes = figure.subplots()
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), part in np.ndenumerate(share):
            colour = "white" if part > 0.55 else INK
            text = f"{values[row, column]:.0f}\n{part:.0%}"
            axes.text(column, row, text, ha="center", va="center", color=colour)
        axes.set_xticks(range(len(classes)), classes)
        axes.set_yticks(range(len(classes)), classes, rotation=90, va="center")
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return _svg(figure)


def draw_f1(series: Sequence[tuple[str, dict[str, Any]]], classes: Sequence[str]) -> str:
    """Per-class F1 as bars, one colour a set of rows (overall, then groups); "no rows" where a class is absent."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 3.7), layout="constrained")
        axes = figure.subplots()
        width = 0.8 / len(series)
        for index, (_, scores) in enumerate(series):
            middle = np.arange(len(classes)) + (index - (len(series) - 1) / 2) * width
            _bars(axes, middle, width, [scores["f1"][label] for label in classes], PALETTE[index % len(PALETTE)])
        axes.set_xticks(range(len(classes)), classes)
        axes.set_ylim(0, 1.12)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
        axes.set_ylabel("F1")
        axes.grid(axis="y", color="#e3e8ec")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        if len(series) > 1:
            _legend(figure, axes, [f"{drawable(name)} (n = {scores['n']})" for name, scores in series])
        return _svg(figure)


def draw_intervals(parts: Sequence[tuple[str, dict[str, Any]]], names: Mapping[str, str]) -> str:
    """Scores of each part as points with their intervals, `names` by key; the parts' `intervals` as in metrics.json."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 1.2 + 0.34 * len(parts)), layout="constrained")
        columns = figure.subplots(1, len(names), sharey=True)
        for axes, (key, label) in zip(columns, names.items(), strict=True):
            for row, (_, part) in enumerate(parts):
                interval, colour = part["intervals"][key], ACCENT if row else INK
                if interval["low"] is not None:
                    axes.plot([interval["low"], interval["high"]], [row, row], color=colour, linewidth=2.2, alpha=0.45)
                if part[key] is not None:
                    axes.plot(part[key], row, "o", color=colour, markersize=5)
            axes.set_xlim(0, 1.02)
            axes.set_xticks([0, 0.5, 1])
            axes.set_xlabel(label)
            axes.grid(axis="x", color="#e3e8ec")
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(axis="y", length=0)
        columns[0].set_yticks(range(len(parts)), [f"{drawable(name)} (n = {part['n']})" for name, part in parts])
        columns[0].set_ylim(len(parts) - 0.5, -0.5)
        return _svg(figure)


def draw_curves(curves: Sequence[dict[str, Any]]) -> str:
    """Each loss by epoch, the mean of the folds and from the lowest to the highest; from `mean_curves`.

    What is None there is left out.
    """
    lines = {
        name: np.array([curve[name] for curve in curves], dtype=np.float64) for name in curves[0] if name != "epoch"
    }
    lines = {name: values for name, values in lines.items() if np.isfinite(values).any()}
    epochs = [curve["epoch"] for curve in curves]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.0), layout="constrained")
        axes = figure.subplots()
        for index, (name, values) in enumerate(lines.items()):
            label = name.replace("loss_", "of ").replace("_", " ")
            lone = np.isfinite(values[:, 0]).sum() == 1
            colour = PALETTE[index % len(PALETTE)]
            axes.fill_between(epochs, values[:, 1], values[:, 2], color=colour, alpha=0.15, linewidth=0)
            axes.plot(epochs, values[:, 0], color=colour, label=label, marker="o" if lone else None)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color="#e3e8ec")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, ncols=len(lines))
        return _svg(figure)


def _bars(axes: Axes, middle: np.ndarray, width: float, values: Sequence[float | None], colour: str) -> None:
    axes.bar(middle, [value or 0.0 for value in values], width * 0.92, color=colour)
    for x, value in zip(middle, values, strict=True):
        text = "no rows" if value is None else f"{value:.2f}"
        upright = value is None or width < 0.2  # a bar of less than that is narrower than its number
        axes.text(x, (value or 0) + 0.02, text, ha="center", va="bottom", size=7, rotation=90 if upright else 0)


def _legend(figure: Figure, axes: Axes, labels: Sequence[str]) -> None:
    """Names above the axes, in as few rows as the width allows."""
    handles = [bars[0] for bars in axes.containers]
    for rows in range(1, len(labels) + 1):
        columns = math.ceil(len(labels) / rows)
        legend = figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def drawable(name: str) -> str:
    """A name of at most LONGEST_NAME letters, with codes (\\u4e2d) for those that the figures' font lacks."""
    has = _letters()
    name = "".join(letter if ord(letter) in has else letter.encode("unicode_escape").decode() for letter in name)
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"


@cache
def _letters() -> frozenset[int]:
    """The code points that the figures' font can draw."""
    return frozenset(get_font(findfont(STYLE["font.family"])).get_charmap())


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
