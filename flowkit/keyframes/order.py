"""What is said of keyframes that are out of order, whichever rule needs them."""

from __future__ import annotations

from flowkit.errors import FrameError


def out_of_order(**frames: int | None) -> FrameError:
    """The error that names the frames, in the order that they should have; those that are None are left out."""
    told = ", ".join(f"{name} {number}" for name, number in frames.items() if number is not None)
    return FrameError(f"{told} are not in this order; correct the annotation")
