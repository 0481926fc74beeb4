"""The plan of an extraction: every pair, in order, and its division into parts.

The plan depends on the clips and the request alone. So a run that was stopped plans again, finds the same parts, and
does those that are missing.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flowkit.errors import FlowkitError, InputError, Interrupted, OutputError
from flowkit.extraction.framing import Framing, frame_clip
from flowkit.extraction.pairs import plan_pairs
from flowkit.extraction.plans import PairPlan, parse_plan
from flowkit.extraction.request import ExtractRequest
from flowkit.faces.finding import FaceCrop, parse_face
from flowkit.frames import FrameSource
from flowkit.frames.survey import Survey
from flowkit.types import Clip, Pair

MOST_ROWS = 128
PART_PIXELS = MOST_ROWS * 224 * 224
"""Of a full part at most; at least an eighth of it, where that is no more than the most rows."""
PARTS = 128
"""A plan is divided into no fewer, unless they were smaller than that: so workers end at about the same time."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of work that is committed as a whole: consecutive pairs whose cubes have one shape."""

    number: int
    pairs: tuple[Pair, ...]
    shape: tuple[int, int] | None
    """(h, w) of its cubes; None where none of its pairs can be computed."""
    framings: dict[str, Framing]
    """By clip_id; clips of which no frame can be read have none."""
    sources: dict[str, FrameSource] = dataclasses.field(compare=False, default_factory=dict)
    """By clip_id, as `framings`: what reading the part's frames takes, once `with_sources` has given it."""


@functools.cache
def rows_per_part(shape: tuple[int, int] | None, planned: int) -> int:
    """Rows of a full part of a plan of so many pairs: as much memory as 16 to 128 cubes of 224 x 224."""
    if shape is None:
        return MOST_ROWS
    most, fewest = (max(pixels // (shape[0] * shape[1]), 1) for pixels in (PART_PIXELS, PART_PIXELS // 8))
    return min(most, MOST_ROWS, max(fewest, -(-planned // PARTS)))


def make_parts(
    clips: Sequence[Clip], request: ExtractRequest, surveys: Mapping[str, Survey], faces: FaceCrop | None = None
) -> list[Part]:
    """Every pair of the clips, in order, divided into parts; a pair that cannot be computed carries its error.

    Args:
        faces: gives the clips' faces; None for what the request says, asked in this process.

    Raises:
        InputError: if the request's face boxes or list of pairs cannot be read, a clip_id occurs twice, a list has
            pairs of another clip, or there is no clip.
    """
    plan = require_plannable(clips, request)
    return list(divide(list(_framed_pairs(clips, plan, request, surveys, faces or parse_face(request.face)))))


def require_plannable(clips: Sequence[Clip], request: ExtractRequest) -> PairPlan:
    """The request's plan of pairs; raises as `make_parts` for what these clips cannot be planned with."""
    seen: set[str] = set()
    for clip in clips:
        if clip.clip_id in seen:
            raise InputError(f"clip_id {clip.clip_id!r} occurs twice; give each clip its own")
        seen.add(clip.clip_id)
    if not clips:
        raise InputError("there is no clip to extract")
    plan = parse_plan(request.pairs)
    plan.require_clips(clips)
    return plan


Phase = tuple[int, ...] | None
PlannedPair = tuple[str, str, int | None, int | None, Phase, Phase]
"""clip_id, role, frame0, frame1, frames0, frames1."""
PlannedRow = tuple[Pair, Framing | None]
"""A pair, and how its clip is framed, once that is known."""


def parts_as_planned(
    planned: Mapping[int, Sequence[PlannedPair]],
    clips: Mapping[str, Clip],
    request: ExtractRequest,
    surveys: Mapping[str, Survey],
    lost: Mapping[str, str],
    faces: FaceCrop | None = None,
) -> list[Part]:
    """Parts as an earlier plan divided them, by their numbers and pairs.

    Args:
        clips: at least those of these pairs.
        faces: as for `make_parts`.
        lost: clips whose frames are no longer those of the plan, with the reason, which is their pairs' error.

    Raises:
        OutputError: if the clips would be planned otherwise now.
    """
    wanted = {pair[0] for pairs in planned.values() for pair in pairs}
    found = [clip for clip_id, clip in clips.items() if clip_id in wanted and clip_id not in lost]
    faces = faces or parse_face(request.face)
    framed = {
        (pair.clip.clip_id, pair.role, pair.frame0, pair.frame1, pair.frames0, pair.frames1): (pair, framing)
        for pair, framing in _framed_pairs(found, parse_plan(request.pairs), request, surveys, faces)
    }
    parts = []
    for number, keys in planned.items():
        pairs, framings = [], {}
        for key in keys:
            clip_id, role, frame0, frame1, frames0, frames1 = key
            if clip_id in lost:
                error = f"{clip_id}: {lost[clip_id]}"
                sides = {"frame0": frame0, "frame1": frame1, "frames0": frames0, "frames1": frames1}
                pairs.append(Pair(clip=clips[clip_id], role=role, error=error, **sides))  # type: ignore[arg-type]
                continue
            if key not in framed:
                raise OutputError(
                    f"clip {clip_id!r} was planned with the pair {role} {frame0}, {frame1}, which it does not have "
                    "now; bring its frames back as they were"
                )
            pair, framing = framed[key]
            pairs.append(pair)
            if framing:
                framings[clip_id] = framing
        shape = next((framing.shape for framing in framings.values()), None)
        for clip_id, framing in framings.items():
            if framing.shape != shape:
                raise OutputError(
                    f"clip {clip_id!r} of part {number} has cubes of {framing.shape} now, and others of that part "
                    f"{shape}; bring their frames back as they were"
                )
        parts.append(Part(number, tuple(pairs), shape, framings))
    return parts


def _framed_pairs(
    clips: Sequence[Clip], plan: PairPlan, request: ExtractRequest, surveys: Mapping[str, Survey], faces: FaceCrop
) -> Iterator[PlannedRow]:
    for clip in clips:
        found = surveys[clip.clip_id]
        framing: Framing | None = None
        error: str | None = None
        for pair in plan_pairs(clip, plan, found):
            if pair.error is None and framing is None and error is None:
                try:
                    framing = frame_clip(clip, found, faces, request.size, request.face_fit, request.face_margin)
                except Interrupted:
                    raise
                except FlowkitError as problem:
                    error = _of_clip(clip, problem)
            yield (pair if pair.error or not error else dataclasses.replace(pair, error=error)), framing


def divide(pairs: Sequence[PlannedRow], fewest: int = 1) -> Iterator[Part]:
    """A new part where one is full or the shape changes; pairs that cannot be computed stay with their neighbours.

    So a clip that is mended after a run, and has its neighbours' shape, leaves the division as it was.

    Args:
        fewest: into no fewer parts, where there are as many pairs.
    """
    number, most = 0, max(len(pairs) // max(fewest, 1), 1)
    rows: list[Pair] = []
    framings: dict[str, Framing] = {}
    shape: tuple[int, int] | None = None
    for pair, framing in pairs:
        new_shape = framing.shape if framing else shape
        if rows and ((shape and new_shape != shape) or len(rows) >= min(rows_per_part(new_shape, len(pairs)), most)):
            yield Part(number, tuple(rows), shape, framings)
            number, rows, framings, shape = number + 1, [], {}, None
        rows.append(pair)
        if framing:
            framings[pair.clip.clip_id] = framing
            shape = framing.shape
    if rows:
        yield Part(number, tuple(rows), shape, framings)


def _of_clip(clip: Clip, error: FlowkitError) -> str:
    text = str(error)
    return text if text.startswith(clip.clip_id) else f"{clip.clip_id}: {text}"
