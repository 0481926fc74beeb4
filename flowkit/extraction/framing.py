"""How the frames of a clip become the solver's input."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from flowkit.errors import FrameError
from flowkit.faces.face import Face
from flowkit.faces.finding import FaceCrop
from flowkit.faces.fit import FaceFit, Positions, align, crop, mapped
from flowkit.frames.prepare import Similarity
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
    transform: Similarity | None = None
    """From source pixels to the cube's, where the face is aligned."""
    face: Face | None = None
    """The clip's face, if each frame has to show it still; else None."""

    def mapped(self, points: Positions) -> Positions:
        """Positions (k, 2) in source pixels as positions in the cube."""
        whole = Box(0, 0, self.frame_size[1], self.frame_size[0])
        return mapped(points, self.box or whole, self.transform, self.shape)


def frame_clip(
    clip: Clip,
    survey: Survey,
    faces: FaceCrop,
    size: tuple[int, int] | None,
    fit: FaceFit = "crop",
    margin: float = 0.0,
) -> Framing:
    """How the clip's frames are cropped and resized; a FrameError if none can be read or the clip has no face."""
    source = survey.opened()
    if survey.frame_size is None:
        raise FrameError(survey.error or "")
    fps = clip.fps if clip.fps is not None else source.fps
    face = faces.find(clip, survey)
    if face is None:
        return _unframed(survey.frame_size, size or survey.frame_size, fps)
    if fit == "crop":
        placed = crop(face, survey.frame_size, margin)
    else:
        placed = align(face, survey.frame_size, size[0] if size else None, margin)
    watched = face if faces.watches else None
    return Framing(survey.frame_size, placed.box, size or placed.shape, fps, placed.transform, watched)


@functools.cache
def _unframed(frame_size: tuple[int, int], shape: tuple[int, int], fps: float | None) -> Framing:
    """Of whole frames: one for the many clips that are alike."""
    return Framing(frame_size, None, shape, fps)
