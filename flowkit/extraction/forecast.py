"""What an extraction would do: its plan, and from a few pairs computed for it, about how long that takes."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowkit.cpus import available_cpus
from flowkit.datasets import clips_from
from flowkit.errors import FlowkitError
from flowkit.extraction.decoded import unexpected
from flowkit.extraction.disk import cube_bytes, free_bytes, replaced_bytes, require_writable
from flowkit.extraction.engines import require_engine
from flowkit.extraction.engines.crew import Crew
from flowkit.extraction.engines.engine import TIME_LIMIT_S
from flowkit.extraction.engines.survey import Surveyor
from flowkit.extraction.mend import stale_commits, without_failures
from flowkit.extraction.part import run_part
from flowkit.extraction.plan import Part, make_parts, require_plannable
from flowkit.extraction.remaining import parts_of, that_stay, to_do, with_sources
from flowkit.extraction.request import ExtractRequest, default_pairs
from flowkit.extraction.resume import compare_plan
from flowkit.extraction.run import in_order, no_collection
from flowkit.frames.survey import Survey
from flowkit.output.claim import WHOLE, Share, parse_share, refuse_foreign
from flowkit.output.commit import Commit, finished
from flowkit.output.plan_file import RUN_FILE
from flowkit.output.store import Place, place
from flowkit.types import Clip

SAMPLE_PAIRS = 3
"""Pairs of a shape that are computed for the estimate."""
_TRIES = 8
"""Parts of a shape, at least, until one has a pair that can be computed."""
_SAMPLE_SHAPES = 4
"""The shapes with the most pixels to compute; the others are taken to need as long a pixel as the first."""

Shape = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run would do; counts are of pairs, but for the parts."""

    clips: int
    planned: int
    """In all of the run's parts."""
    parts: int
    parts_done: int
    to_do: int
    """In the parts that are not done; those that cannot be computed are among them."""
    errors: tuple[str, ...]
    """Of the pairs to do that cannot be computed."""
    shapes: dict[Shape, int]
    """How many of those that can be computed have cubes of each (h, w)."""
    bytes: int
    """Of the cubes to write."""
    free_bytes: int | None
    """Room on the disk of OUT, with that of the files which are replaced; None in an object store."""
    workers: int
    seconds: float | None
    """An estimate, from a few of the pairs, on one core of this machine; None on a GPU, where nothing is to do, where
    the disk has too little room for it, and where none of these can be computed."""
    sample_error: str | None
    """Why one of those cannot."""


def forecast(
    source: str | Place | Sequence[Clip],
    out: str | Place,
    *,
    pairs: str | None = None,
    frame_base: int | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    accept_changes: bool = False,
    shard: str | Share = WHOLE,
    limit: int | None = None,
    **request: Any,
) -> Forecast:
    """What `extract` of the same arguments would do. Nothing is written, and OUT need not be there.

    Args:
        request: further arguments of `ExtractRequest.parse`.

    Raises:
        As `extract`: for arguments that cannot be used, and if OUT is something else, or was made with others or from
        other frames. Neither a GPU nor a cluster need be there.
    """
    out = place(out).absolute()
    share = shard if isinstance(shard, Share) else parse_share(shard)
    with in_order(out):
        source = place(source) if isinstance(source, str | Place) else source
        with no_collection():
            clips = clips_from(source, frame_base=frame_base)
        asked = ExtractRequest.parse(pairs=default_pairs(clips) if pairs is None else pairs, **request)
        require_engine(engine, workers=workers, ray_address=ray_address)
        refuse_foreign(out)
        surveyor = Surveyor(Crew(TIME_LIMIT_S, computes=False), workers)
        surveys = surveyor.survey(clips)
        require_plannable(clips, asked)
        faces, surveys = surveyor.faces(clips, surveys, asked)
        parts = make_parts(clips, asked, surveys, faces)
        done: dict[int, Commit] = {}
        commits: dict[int, Commit] = {}
        if (out / RUN_FILE).exists():
            accepted = {"accept_changes": accept_changes, "retry_failed": retry_failed}
            plans = compare_plan(out, parts, surveys, asked, asked.metadata(clips), **accepted).plans
            parts, commits = plans[-1], finished(out)
            for part, commit, kept in stale_commits(out, plans):
                commits.pop(part.number, None)
                if trimmed := without_failures(part, commit, kept):
                    commits[part.number] = trimmed
            done = that_stay(commits, asked, retry_failed)
        mine = parts_of(parts, share, limit)
        todo = to_do(mine, done)
        if todo:
            require_writable(out)
        workers = workers or available_cpus()
        shapes = _shapes(todo)
        needed, free = cube_bytes(todo, asked), free_bytes(out)
        if free is not None:
            free += replaced_bytes(todo, commits)
        has_room = free is None or needed <= free
        timed = bool(shapes) and asked.device == "cpu" and has_room
        seconds, sample_error = _seconds(todo, shapes, asked, surveys) if timed else (None, None)
        return Forecast(
            clips=len(clips),
            planned=sum(len(part.pairs) for part in mine),
            parts=len(mine),
            parts_done=len(mine) - len(todo),
            to_do=sum(len(part.pairs) for part in todo),
            errors=tuple(pair.error for part in todo for pair in part.pairs if pair.error is not None),
            shapes=dict(shapes.most_common()),
            bytes=needed,
            free_bytes=free,
            workers=workers,
            seconds=None if seconds is None else seconds / min(workers, len(todo)),
            sample_error=sample_error,
        )


def _shapes(parts: Iterable[Part]) -> Counter[Shape]:
    shapes: Counter[Shape] = Counter()
    for part in parts:
        if part.shape is not None:
            shapes[part.shape] += sum(pair.error is None for pair in part.pairs)
    return +shapes


def _seconds(
    parts: Sequence[Part], shapes: Counter[Shape], request: ExtractRequest, surveys: Mapping[str, Survey]
) -> tuple[float | None, str | None]:
    """On one core; decoding is in it, writing is not. Without any pair that can be computed none, and an error."""
    largest = sorted(shapes, key=lambda shape: shape[0] * shape[1] * shapes[shape], reverse=True)
    per_pair: dict[Shape, float] = {}
    error = None
    for shape in largest[:_SAMPLE_SHAPES]:
        alike = [part for part in parts if part.shape == shape and any(pair.error is None for pair in part.pairs)]
        for part in alike[:: max(len(alike) // _TRIES, 1)]:  # the first may be of a clip whose frames are damaged
            took, failed = _sampled(part, request, surveys, loaded=bool(per_pair))
            error = error or failed
            if took is not None:
                per_pair[shape] = took
                break
    if not per_pair:
        return None, error
    measured = next(iter(per_pair))
    per_pixel = per_pair[measured] / (measured[0] * measured[1])
    times = (count * per_pair.get(shape, per_pixel * shape[0] * shape[1]) for shape, count in shapes.items())
    return sum(times), None


def _sampled(
    part: Part, request: ExtractRequest, surveys: Mapping[str, Survey], *, loaded: bool
) -> tuple[float | None, str | None]:
    """Seconds a pair, by the first pairs of a part, or the error of one where none of these can be computed."""
    pairs = tuple(pair for pair in part.pairs if pair.error is None)[:SAMPLE_PAIRS]
    sample = with_sources(dataclasses.replace(part, pairs=pairs), surveys)
    try:
        if not loaded:
            run_part(dataclasses.replace(sample, pairs=pairs[:1]), request)  # what is loaded at first use
        began = time.perf_counter()
        rows = run_part(sample, request)
        took = time.perf_counter() - began
    except FlowkitError:
        raise
    except Exception as error:
        return None, f"{pairs[0].clip.clip_id}: {unexpected(error)}"
    return (took / rows.shard.num_rows, None) if rows.shard is not None else (None, rows.failures["error"][0].as_py())
