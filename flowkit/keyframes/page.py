"""The page of shifts: how far keyframes have moved, and the frames to look at."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flowkit.errors import FlowkitError
from flowkit.extraction.clip_frames import ClipFrames, FaceCrop
from flowkit.keyframes.shifts import ROLES, Interval, Shift, ShiftRow, offset_excess, table_of
from flowkit.pages import data_uri, fill
from flowkit.pictures.canvas import MARGIN, Picture, blank, fit, paste, write_text
from flowkit.types import Clip

PICTURE_PX = 150
COLOURS = {"onset": "#2f6f8f", "apex": "#d98b3a", "offset": "#7a4f9a"}
_LEFT, _RIGHT, _ROW, _TOP = 190, 24, 22, 34
_WIDTH = 720


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a page is made of: the clips before and after, how they have moved, and which could not be done."""

    rule: str
    source: str
    before: Sequence[Clip]
    after: Sequence[Clip]
    shifts: Sequence[Shift]
    failures: Sequence[tuple[str, str]]
    """clip_id and reason."""
    unsearched: int
    """Clips too short for the range: nothing to choose from."""


def page(outcome: Outcome, face: FaceCrop | None, pictures: int) -> str:
    """The HTML of the page.

    Args:
        face: the crop of the pictures; None for whole frames.
        pictures: how many clips are shown, those that have moved most; 0 for none.
    """
    rows = table_of(outcome.shifts)
    bounded = any(row.of_allowed is not None for row in rows)
    shown = _furthest(outcome.shifts, pictures)
    pairs = {old.clip_id: (old, new) for old, new in zip(outcome.before, outcome.after, strict=True)}
    return fill(
        "shifts.html.j2",
        rule=outcome.rule,
        source=outcome.source,
        clips=len(outcome.before),
        unsearched=outcome.unsearched,
        bounded=bounded,
        header=HEADER if bounded else HEADER[:-1],
        rows=[_cells(row, bounded) for row in rows],
        chart=chart(rows),
        excess=[(name, count, percent(interval)) for name, count, interval in offset_excess(outcome.shifts)],
        pictures=[_shown(*pairs[clip_id], face) for clip_id in shown],
        failures=outcome.failures,
    )


HEADER = (
    *("dataset", "role", "clips", "people", "moved", "mean shift, frames", "mean |shift|, frames", "mean |shift|, ms"),
    *("of its interval", "of the range"),
)


def percent(interval: Interval) -> str:
    """An interval of shares, as "12 % (9 to 15)"."""
    return _told(interval, 100, " %", 1)


def number(interval: Interval) -> str:
    """An interval, as "1.25 (0.90 to 1.61)"."""
    return _told(interval, 1, "", 2)


def chart(rows: Sequence[ShiftRow]) -> dict[str, Any]:
    """Where the dots, intervals, grid and words of the drawing stand, in px."""
    most = max(
        (value for row in rows for value in (row.of_length.mean, row.of_length.high) if value == value), default=0
    )
    step = _step(100 * most or 1.0)
    ticks = [i * step for i in range(math.ceil(100 * most / step) + 1)] if most else [0.0, step]
    scale = (_WIDTH - _LEFT - _RIGHT) / ticks[-1]

    def x(share: float) -> float:
        return round(_LEFT + 100 * share * scale, 1)

    marks = [
        {
            "y": _TOP + _ROW * i + _ROW / 2,
            "label": f"{row.dataset}, {row.role}",
            "colour": COLOURS[row.role],
            "x": x(row.of_length.mean),
            "low": None if row.of_length.low != row.of_length.low else x(row.of_length.low),
            "high": None if row.of_length.low != row.of_length.low else x(row.of_length.high),
        }
        for i, row in enumerate(rows)
    ]
    height = _TOP + _ROW * len(rows) + 8
    grid = [{"x": x(tick / 100), "label": f"{tick:g} %"} for tick in ticks]
    return {"width": _WIDTH, "height": height, "left": _LEFT, "top": _TOP, "marks": marks, "grid": grid}


def _step(most: float) -> float:
    """A round step of the grid, of which four to eight reach `most`."""
    power: float = 10.0 ** math.floor(math.log10(most))
    return next(power * share for share in (0.2, 0.5, 1.0, 2.0) if most / (power * share) <= 8)


def _cells(row: ShiftRow, bounded: bool) -> list[str]:
    cells = [row.dataset, row.role, str(row.clips), str(row.people), percent(row.moved), number(row.signed)]
    cells += [number(row.absolute), "no rate" if row.ms is None else number(row.ms), percent(row.of_length)]
    return cells + ([percent(row.of_allowed) if row.of_allowed else ""] if bounded else [])


def _told(interval: Interval, factor: float, unit: str, digits: int) -> str:
    mean = f"{factor * interval.mean:.{digits}f}{unit}"
    if math.isnan(interval.low):
        return f"{mean} (one person)"
    return f"{mean} ({factor * interval.low:.{digits}f} to {factor * interval.high:.{digits}f})"


def _furthest(shifts: Sequence[Shift], count: int) -> list[str]:
    """The clips in which a frame has moved by the largest share of its interval."""
    most: dict[str, float] = {}
    for shift in shifts:
        if shift.frames:
            most[shift.clip_id] = max(most.get(shift.clip_id, 0.0), abs(shift.frames) / shift.length)
    return sorted(most, key=lambda clip_id: (-most[clip_id], clip_id))[:count]


def _shown(old: Clip, new: Clip, face: FaceCrop | None) -> dict[str, str]:
    """A clip's caption and picture; the reason in place of a picture that cannot be made."""
    moves = [
        f"{role} {getattr(old, role)} → {getattr(new, role)}"
        for role in ROLES
        if getattr(old, role) != getattr(new, role)
    ]
    caption = f"{old.clip_id}: {', '.join(moves)}"
    try:
        picture = strip(old, new, face)
    except (FlowkitError, OSError) as error:
        return {"caption": f"{caption}; no picture: {error}", "data": ""}
    coded = io.BytesIO()
    Image.fromarray(picture).save(coded, "JPEG", quality=88)
    return {"caption": caption, "data": data_uri("image/jpeg", coded.getvalue())}


def strip(old: Clip, new: Clip, face: FaceCrop | None) -> Picture:
    """Of each role that has moved: the annotated frame, the new one, and how they differ, side by side.

    Raises:
        FlowkitError: if a frame cannot be read.
    """
    roles = [role for role in ROLES if getattr(old, role) != getattr(new, role)]
    numbers = {role: (getattr(old, role), getattr(new, role)) for role in roles}
    needed = [number for pair in numbers.values() for number in pair if number is not None]
    frames = {at: _grey(frame) for at, frame in ClipFrames(old, face).read(needed)}
    tiles: list[tuple[str, Picture]] = []
    for role, (was, now) in numbers.items():
        if was is not None:
            tiles.append((f"{role} {was}", _coloured(frames[was])))
        tiles.append((f"new {now}", _coloured(frames[now])))
        if was is not None:
            tiles.append(("difference x 4", _difference(frames[was], frames[now])))
    width = max(tile.shape[1] for _, tile in tiles)
    canvas = blank(PICTURE_PX + 28, len(tiles) * (width + 8) + MARGIN)
    for i, (label, tile) in enumerate(tiles):
        left = 4 + i * (width + 8)
        write_text(canvas, label, left, 16, px=13)
        paste(canvas, tile, left, 24)
    return canvas


def _grey(frame: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(frame // 257 if frame.dtype == np.uint16 else frame, np.uint8)


def _coloured(frame: NDArray[np.uint8]) -> Picture:
    return np.asarray(cv2.cvtColor(fit(np.ascontiguousarray(frame), PICTURE_PX), cv2.COLOR_GRAY2RGB), np.uint8)


def _difference(frame: NDArray[np.uint8], other: NDArray[np.uint8]) -> Picture:
    """Grey where the frames are equal, lighter where the new one is."""
    change = 128 + 4 * (other.astype(np.int32) - frame)
    return _coloured(np.clip(change, 0, 255).astype(np.uint8))
