"""The apex frame of each pair in colour, for models that read a face beside its motion (`flowkit extract --rgb`)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FlowkitError, FrameError, Interrupted
from flowkit.extraction.decoded import unexpected
from flowkit.extraction.framing import Framing
from flowkit.extraction.plan import Part
from flowkit.frames.prepare import prepare, warp
from flowkit.types import Pair

Picture = NDArray[np.uint8]


def apex_pictures(part: Part, pairs: Iterable[int], side: int) -> dict[int, Picture | FrameError]:
    """The apex frames of the part's pairs by index, (3, side, side) uint8, order RGB, or why one cannot be had.

    Framed as the grey frames of the flow, and then resized. Each frame is decoded once; what goes wrong with one clip
    is its pairs' error.
    """
    wanted: dict[str, dict[int, list[int]]] = {}
    for i in pairs:
        wanted.setdefault(part.pairs[i].clip.clip_id, {}).setdefault(_apex(part.pairs[i]), []).append(i)
    found: dict[int, Picture | FrameError] = {}
    for clip_id, numbers in wanted.items():
        try:
            for number, frame in part.sources[clip_id].read(sorted(numbers), colour=True):
                picture = _picture(number, frame, part.framings[clip_id], side)
                found |= dict.fromkeys(numbers.pop(number), picture)
        except Interrupted:
            raise
        except Exception as error:  # whatever it is, it costs this clip's pairs
            reason = str(error) if isinstance(error, FlowkitError) else unexpected(error)
            found |= dict.fromkeys((i for rest in numbers.values() for i in rest), FrameError(reason))
            continue
        for number, rest in numbers.items():
            found |= dict.fromkeys(rest, FrameError(f"frame {number} was not delivered in colour by its source"))
    return found


def _apex(pair: Pair) -> int:
    """The number of the pair's apex: its first frame where it goes on to the offset, else its second one."""
    number = pair.frame0 if pair.role == "apex-offset" else pair.frame1
    assert number is not None
    return number


def _picture(number: int, frame: NDArray[np.generic] | FrameError, framing: Framing, side: int) -> Picture | FrameError:
    if isinstance(frame, FrameError):
        return frame
    if frame.shape[:2] != framing.frame_size:
        h, w = framing.frame_size
        return FrameError(f"frame {number} has {frame.shape[1]} x {frame.shape[0]} px in colour, its clip {w} x {h}")
    if framing.transform is not None:
        picture = prepare(warp(frame, framing.transform, framing.shape), None, (side, side))
    else:
        picture = prepare(frame, framing.box, (side, side))
    return np.ascontiguousarray(picture.transpose(2, 0, 1))
