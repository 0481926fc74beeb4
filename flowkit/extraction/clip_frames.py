"""The frames of one clip as the solver or a classifier gets them, for what goes clip by clip and makes no shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError
from flowkit.extraction.framing import frame_clip
from flowkit.faces.finding import FaceCrop, WholeFrame
from flowkit.frames.prepare import prepare
from flowkit.frames.survey import SourceKey, Survey, source_of, survey_source
from flowkit.types import Clip

__all__ = ["ClipFrames", "FaceCrop", "Surveys"]


class Surveys:
    """The survey of a clip's source, kept for those clips of the same source that follow."""

    def __init__(self) -> None:
        self._last: tuple[SourceKey, Survey] | None = None

    def of(self, clip: Clip) -> Survey:
        """See `flowkit.frames.survey.survey_source`."""
        key = source_of(clip)
        if self._last is None or self._last[0] != key:
            self._last = key, survey_source(*key)
        return self._last[1]


class ClipFrames:
    """A clip whose source is open; all its frames are cropped and resized alike.

    Args:
        face: gives the box that frames are cropped to; by default they are whole. A detector's face has to be in each
            frame that is read, as in an extraction.
        size: (height, width) that they are resized to, px; None keeps the crop's.
        surveys: those of the clips before.

    Raises:
        FrameError: if the source cannot be opened, no frame of it can be read, or the clip has no box.
    """

    def __init__(
        self,
        clip: Clip,
        face: FaceCrop | None = None,
        size: tuple[int, int] | None = None,
        surveys: Surveys | None = None,
    ) -> None:
        survey = (surveys or Surveys()).of(clip)
        self.source = survey.opened()
        self._faces = face or WholeFrame()
        self._framing = frame_clip(clip, survey, self._faces, size)
        self._size = size

    def require(self, numbers: range) -> None:
        """A FrameError for the first of the numbers that is missing; a mistyped frame costs no time or memory."""
        held = [number for number in self.source.numbers() if number in numbers]
        if len(held) < len(numbers):
            missing = next(number for number, one in zip(numbers, [*held, None], strict=False) if number != one)
            next(self.read([missing]))

    def read(self, numbers: Iterable[int], *, colour: bool = False) -> Iterator[tuple[int, NDArray[Any]]]:
        """(number, frame) of each different number, ascending: (h, w), or (h, w, 3) RGB with `colour`.

        Raises:
            FrameError: for the first frame that is missing, cannot be read, is of another size than the others, or does
                not show the face any more; with `colour`, before any frame is given.
        """
        wanted = sorted(set(numbers))
        face = self._framing.face
        if colour and face is not None:
            # A detector looks at grey frames as an extraction has them, which those in colour made grey are not.
            for _ in self.read(wanted):
                pass
        for number, frame in self.source.read(wanted, colour=colour):
            if isinstance(frame, FrameError):
                raise frame
            if frame.shape[:2] != self._framing.frame_size:
                h, w = self._framing.frame_size
                raise FrameError(
                    f"frame {number} has {frame.shape[1]} x {frame.shape[0]} px, its clip {w} x {h}; "
                    "give frames of one size to each clip"
                )
            if face is not None and not colour:
                self._faces.again(face, number, frame)
            yield number, np.ascontiguousarray(prepare(frame, self._framing.box, self._size))
