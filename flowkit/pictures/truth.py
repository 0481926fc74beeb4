"""What the demo shows: its people, and the motion it put in beside the motion that came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowkit.frames import open_source
from flowkit.pictures.canvas import FAINT, MARGIN, Picture, blank, fit, paste, write_text
from flowkit.pictures.colours import flow_to_rgb, strain_to_rgb
from flowkit.types import Clip


@dataclass(frozen=True, slots=True)
class Result:
    """One clip of the demo: what was made, and what was found. Arrays as `flowkit.motion_cube` gives them."""

    clip: Clip
    truth: NDArray[np.float32]
    """(2, h, w), pixels."""
    cube: NDArray[Any]
    """(3, h, w): u, v, strain magnitude."""

    @property
    def error_px(self) -> float:
        """Mean endpoint error of the flow found."""
        return float(np.hypot(*(self.cube[:2] - self.truth)).mean())

    @property
    def motion_px(self) -> float:
        """Mean length of the true flow: the endpoint error of finding nothing."""
        return float(np.hypot(*self.truth).mean())

    @property
    def peak_px(self) -> float:
        return float(np.percentile(np.hypot(*self.truth), 99.5))


def frame_of(clip: Clip, number: int) -> Picture:
    """One frame of a clip, RGB; raises FrameError if it cannot be read."""
    ((_, frame),) = open_source(clip.source).read([number], colour=True)
    if isinstance(frame, Exception):
        raise frame
    return frame.astype(np.uint8, copy=False)


def contact_sheet(clips: Sequence[Clip], side: int = 240, columns: int = 4) -> Picture:
    """The neutral frame of every subject."""
    first = {clip.subject: clip for clip in reversed(clips)}
    people = [first[subject] for subject in sorted(first, key=str)]
    rows = -(-len(people) // columns)
    step = side + MARGIN
    canvas = blank(rows * (step + 20) + MARGIN, columns * step + MARGIN)
    for i, clip in enumerate(people):
        x, y = MARGIN + i % columns * step, MARGIN + i // columns * (step + 20)
        assert clip.onset is not None
        paste(canvas, fit(frame_of(clip, clip.onset), side), x, y)
        write_text(canvas, str(clip.subject), x, y + side + 20, px=13)
        write_text(canvas, str(clip.group), x + side, y + side + 20, px=13, ink=FAINT, right=True)
    return canvas


def montage(results: Sequence[Result], emotions: Sequence[str], side: int = 170) -> Picture:
    """A row an emotion: the apex frame, true flow, found flow and strain of the portrait, and of one drawn face."""
    labels = ("apex", "true flow", "flow found", "strain found")
    block = len(labels) * (side + 6) + 24
    left, top, step = 20, 58, side + 30
    canvas = blank(top + len(emotions) * step + 4, left + 2 * block)
    for column in range(2):
        for i, label in enumerate(labels):
            write_text(canvas, label, left + column * block + i * (side + 6), 36, px=15)
    for row, emotion in enumerate(emotions):
        y = top + row * step
        shown = [result for result in results if result.clip.emotion == emotion]
        people = sorted({str(result.clip.subject) for result in shown})
        for column, chosen in enumerate((people[:1], people[1:])):
            mine = [result for result in shown if result.clip.subject in chosen]
            if mine:
                x = left + column * block
                _paste_result(canvas, max(mine, key=lambda result: result.peak_px), x, y, side)
    return canvas


def _paste_result(canvas: Picture, result: Result, x: int, y: int, side: int) -> None:
    clip = result.clip
    assert clip.apex is not None
    panels = (
        frame_of(clip, clip.apex),
        flow_to_rgb(result.truth, result.peak_px),
        flow_to_rgb(result.cube[:2], result.peak_px),
        strain_to_rgb(result.cube[2], float(np.percentile(result.cube[2], 99.5)) or None),
    )
    for i, panel in enumerate(panels):
        paste(canvas, fit(panel, side), x + i * (side + 6), y)
    text = f"{clip.emotion}, AU {clip.au}: peak {result.peak_px:.2f} px, mean endpoint error {result.error_px:.3f} px"
    write_text(canvas, text, x, y + side + 17, px=12, ink=FAINT)
