"""Extraction: plan, run what is not yet done, commit. The loop is the same for every engine."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from flowkit.datasets import clips_from
from flowkit.errors import Interrupted
from flowkit.extraction.disk import cube_bytes, replaced_bytes, require_room
from flowkit.extraction.engines import crew_for, open_engine
from flowkit.extraction.engines.engine import Engine
from flowkit.extraction.engines.survey import Surveyor
from flowkit.extraction.part import Job
from flowkit.extraction.plan import make_parts, require_plannable
from flowkit.extraction.remaining import parts_of, that_stay, to_do, with_sources
from flowkit.extraction.request import ExtractRequest, default_pairs
from flowkit.extraction.resume import parts_planned_alike, require_settled, settle_plan
from flowkit.extraction.tally import Report, Summary, all_done, compute, require_none_kept
from flowkit.output.claim import WHOLE, Share, claimed, parse_share, planning
from flowkit.output.commit import finished, recorded
from flowkit.output.store import Place, place
from flowkit.output.writer import remove_superseded
from flowkit.params import TVL1Params
from flowkit.types import Clip

__all__ = ["Summary", "extract"]

_AGAIN = "bring the frames back as they were, and run it with --retry-failed again"
_AGAIN_OR_GIVEN_UP = (
    "bring the frames back as they were and run the same command again, or have the pairs become failure rows by "
    "flowkit repair {} --lost-as-failures"
)


def extract(
    source: str | Place | Sequence[Clip],
    out: str | Place,
    *,
    pairs: str | None = None,
    preset: str | None = None,
    params: TVL1Params | Mapping[str, Any] | None = None,
    size: int | tuple[int, int] | str | None = None,
    face: str = "none",
    face_fit: str = "crop",
    face_margin: float = 0.0,
    stabilise: str = "none",
    landmarks: str = "none",
    strain: str = "standard",
    dtype: str = "float32",
    device: str = "cpu",
    batch: int | None = None,
    rgb: int | None = None,
    frame_base: int | None = None,
    engine: str | Engine = "local",
    ray_address: str | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    accept_changes: bool = False,
    shard: str | Share = WHOLE,
    limit: int | None = None,
    time_limit_s: float | None = None,
    report: Report | None = None,
) -> Summary:
    """Computes the motion cubes of all planned pairs into shards under OUT, or finishes what an earlier run began.

    Args:
        source: a manifest (.parquet, .csv), a video, a folder of frames, a folder of either; or clips.
        pairs: the pair plan, as "onset-apex", "onset-apex:4+4" or "lag:1" (docs/manifest.md has all); None for
            onset-apex where a clip has an apex, else lag:1.
        preset, params: the solver's parameters, see `flowkit.params.resolve_params`; without a preset it is micro, or
            micro-phases where the plan averages frames.
        size: side or (height, width) in pixels to resize to before the flow; None for no resizing.
        face: what finds the faces, see `flowkit.faces.finding.parse_face`.
        face_fit: "crop", or "align" for a square that has the eyes level, see `flowkit.faces.fit`.
        face_margin: by which a face's box is grown at each edge, as a fraction of its side.
        stabilise: how the head's motion is taken out, see `flowkit.motion.stabilise.parse_stabilise`.
        landmarks: where the flow is sampled besides, see `flowkit.faces.landmarks.parse_landmarks`.
        strain: how the third channel is computed, see `flowkit.strain_magnitude`.
        dtype: of the cubes, "float32" or "float16".
        device: "cpu", or "cuda" for every GPU that this build can use. Outputs of the two are kept apart.
        batch: pairs the solver gets at once, 32 or on a GPU up to 1024 by default; does not change the result.
        rgb: side in pixels of the apex frame in colour, which goes into the shard too; None for none.
        frame_base: number of a video's first frame, where the source is no manifest.
        engine: "local", "ray", or an object with the method of `flowkit.extraction.engines.Engine`.
        workers: see `flowkit.extraction.engines.open_engine`.
        retry_failed: compute the parts that hold failed pairs again; a part in which a pair fails that had been
            computed keeps what it has.
        accept_changes: continue OUT although frames or decoders are not those it was begun with, and record it.
        shard: "2/8" computes the second of eight shares of the parts; other processes compute the others.
        limit: compute the first parts only, so many; of its share, where it has one.
        time_limit_s: for a part, the survey of a video, or the look for a face, on a worker process, see `open_engine`.
        report: is called with the state of the run, first before any part and then after each.

    Returns:
        The final counts; pairs that could not be computed are counted in `failed` and listed under OUT/failures.

    Raises:
        InputError: for arguments that cannot be used.
        OutputError: if OUT is something else, or was made with other parameters, or from other clips or frames; at the
            end of the run, if parts have kept what they had.
        Interrupted: on Ctrl-C, a disk that is or would be full, or lost workers; the same call continues.
    """
    out = place(out).absolute()
    share = shard if isinstance(shard, Share) else parse_share(shard)
    parts_of([], share, limit)
    with in_order(out):
        source = place(source) if isinstance(source, str | Place) else source
        with no_collection():
            clips = clips_from(source, frame_base=frame_base)
        request = ExtractRequest.parse(
            pairs=default_pairs(clips) if pairs is None else pairs,
            preset=preset,
            params=params,
            rgb=rgb,
            size=size,
            face=face,
            face_fit=face_fit,
            face_margin=face_margin,
            stabilise=stabilise,
            landmarks=landmarks,
            strain=strain,
            dtype=dtype,
            device=device,
            batch=batch,
        )
        options = {"workers": workers, "ray_address": ray_address, "device": device, "time_limit_s": time_limit_s}
        chosen = open_engine(engine, **options) if isinstance(engine, str) else engine  # type: ignore[arg-type]
        with claimed(out, share) as alone, crew_for(chosen, time_limit_s) as crew:
            with no_collection():
                origin, metadata = request.origin(source, frame_base), request.metadata(clips)
                surveyor = Surveyor(crew, workers)
                surveys = surveyor.survey(clips)
                if (share, limit) == (WHOLE, None) and (planned := parts_planned_alike(out, surveys, metadata)):
                    done = that_stay(finished(out), request, retry_failed)
                    if done.keys() == {*range(planned)}:
                        remove_superseded(out, done, alone)
                        return all_done(out, done.values(), report)
                require_plannable(clips, request)
                faces, surveys = surveyor.faces(clips, surveys, request)
                parts = make_parts(clips, request, surveys, faces)
                accepted = {"accept_changes": accept_changes, "retry_failed": retry_failed, "alone": alone}
                with planning(out, share):
                    parts, plan_sha256 = settle_plan(out, parts, surveys, request, metadata, origin, **accepted)
            if not alone:
                require_settled(out)
            remove_superseded(out, records := recorded(out), alone)
            commits = finished(out, records)
            mine = parts_of(parts, share, limit)
            done = that_stay(commits, request, retry_failed)
            mine = [part if part.number in done else with_sources(part, surveys) for part in mine]
            todo = to_do(mine, done)
            needed = cube_bytes(todo, request)
            require_room(out, needed, replaced_bytes(todo, commits))
            job = Job(out, request, metadata, None if alone else plan_sha256)
            summary = compute(mine, done, job, chosen, _with_size(report, needed))
            if alone:  # files of workers that died at a part which another has computed since
                remove_superseded(out, recorded(out), alone)
            require_none_kept(summary, _AGAIN if retry_failed else _AGAIN_OR_GIVEN_UP.format(out))
            if (share, limit) == (WHOLE, None):
                return summary
            return dataclasses.replace(summary, parts_left=len({part.number for part in parts} - set(finished(out))))


@contextmanager
def in_order(out: Place) -> Iterator[None]:
    """What a signal stops in here is `Interrupted`; what `no_collection` has kept is collected again afterwards."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"{out} is not finished; run the same command again to continue") from None
    finally:
        gc.unfreeze()


@contextmanager
def no_collection() -> Iterator[None]:
    """Holds the garbage collector off while clips and pairs are made, and leaves them out of its later rounds: there
    may be millions, and all of them stay until the run ends, which unfreezes them.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if collects:
            gc.enable()


def _with_size(report: Report | None, bytes_to_write: int) -> Report | None:
    return report and (lambda state: report(dataclasses.replace(state, bytes_to_write=bytes_to_write)))
