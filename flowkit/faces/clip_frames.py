"""The frames of one clip as the solver or a classifier gets them: opened once, cropped and resized all alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError
from flowkit.faces.boxes import FaceCrop
from flowkit.frames import open_source
from flowkit.frames.prepare import prepare
from flowkit.types import Clip


class ClipFrames:
    """A clip whose source is open.

    Args:
        face: gives the box that all frames are cropped to.
        size: (height, width) that they are resized to, px; None keeps the crop's.

    Raises:
        FlowkitError: if the source cannot be opened, or the clip has no box.
    """

    def __init__(self, clip: Clip, face: FaceCrop, size: tuple[int, int] | None = None) -> None:
        self.source = open_source(clip.source, frame_base=clip.frame_base)
        self._frame_size = self.source.size()
        self._box = face.box(clip, self._frame_size)
        self._size = size

    def read(self, numbers: Iterable[int], *, colour: bool = False) -> Iterator[tuple[int, NDArray[Any]]]:
        """(number, frame) of each different number, ascending: (h, w), or (h, w, 3) RGB with `colour`.

        Raises:
            FrameError: for the first frame that is missing, cannot be read, or is of another size than the others.
        """
        for number, frame in self.source.read(sorted(set(numbers)), colour=colour):
            if isinstance(frame, FrameError):
                raise frame
            if frame.shape[:2] != self._frame_size:
                h, w = self._frame_size
                raise FrameError(
                    f"frame {number} has {frame.shape[1]} x {frame.shape[0]} px, its clip {w} x {h}; "
                    "give frames of one size to each clip"
                )
            yield number, np.ascontiguousarray(prepare(frame, self._box, self._size))
