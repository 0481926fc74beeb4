"""What is shown to whoever finds landmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from flowkit.faces.face import Face
from flowkit.faces.fit import Positions


@dataclass(frozen=True, slots=True)
class View:
    """A frame of a clip as landmarks are found in it."""

    clip_id: str
    number: int
    frame: NDArray[Any]
    """(h, w), as the source gives it."""
    cut: NDArray[Any]
    """(h, w), as the solver gets it: cropped or aligned, and resized."""
    face: Face | None
    """Where a detector sees the clip's face in this frame, source pixels; None where none was asked."""
    to_cut: Callable[[Positions], Positions]
    """From source pixels (k, 2) to those of `cut`."""
