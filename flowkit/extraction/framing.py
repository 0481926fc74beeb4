"""How the frames of a clip become the solver's input."""

from __future__ import annotations

from dataclasses import dataclass

from flowkit.errors import FrameError
from flowkit.faces.boxes import FaceCrop
from flowkit.frames.survey import Survey
from flowkit.types import Box, Clip


@dataclass(frozen=True, slots=True)
class Framing:
    """How the frames of one clip become the solver's input: all sizes are (height, width)."""

    frame_size: tuple[int, int]
    """Of the source's frames; a frame of another size is a failure."""
    box: Box | None
    shape: tuple[int, int]
    """Of the cropped and resized frame, and so of the cube."""
    fps: float | None


def frame_clip(clip: Clip, survey: Survey, face: FaceCrop, size: tuple[int, int] | None) -> Framing:
    """How the clip's frames are cropped and resized; a FrameError if none can be read or the clip has no box."""
    source = survey.opened()
    if survey.frame_size is None:
        raise FrameError(survey.error or "")
    box = face.box(clip, survey.frame_size)
    shape = size or ((box.height, box.width) if box else survey.frame_size)
    return Framing(survey.frame_size, box, shape, clip.fps if clip.fps is not None else source.fps)
