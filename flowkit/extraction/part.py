"""The part of work: from a part's planned pairs to its rows, and from the rows to its committed files.

`run_part` is a pure function of the part, the request and the frames; whichever engine calls it, in whichever process
and order, the rows are the same, bit for bit.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import flowkit._core as _core
from flowkit.errors import FlowkitError, FrameError, InputError
from flowkit.extraction.apex import Picture, apex_pictures
from flowkit.extraction.framing import Framing
from flowkit.extraction.plan import Part
from flowkit.extraction.request import ExtractRequest, versions
from flowkit.frames.prepare import prepare
from flowkit.motion.cube import motion_cube
from flowkit.output.commit import Commit
from flowkit.output.shard import failure_schema, shard_schema
from flowkit.output.writer import cube_column, new_names, put_table, write_commit
from flowkit.types import Pair

Frame = NDArray[Any]
_Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Job:
    """What all parts of a run share; plain data, sent once to each worker."""

    out: Path
    request: ExtractRequest
    metadata: dict[str, Any]
    """What `flowkit.extraction.resume.run_metadata` gives."""


@dataclass(frozen=True, slots=True)
class Computed:
    """A pair's result: cube (3, h, w) float32 or float16, and the solver's iterations."""

    cube: Frame
    iterations: int


@dataclass(frozen=True, slots=True)
class PartRows:
    """A part's result: each of its pairs is one row, in one of the two tables."""

    shard: pa.Table | None
    """None where no pair could be computed."""
    failures: pa.Table


class PartRunner:
    """Computes and commits the parts of one job, one after the other; each worker has one."""

    def __init__(self, job: Job, threads: int = 1) -> None:
        self._job = job
        self._threads = threads

    def __call__(self, part: Part) -> Commit:
        """Runs a part and commits its files; raises Interrupted where they cannot be written."""
        try:
            rows = run_part(part, self._job.request, self._job.metadata, threads=self._threads)
        except Exception:  # of which clip is seen when each is computed on its own
            return self.apart(part)
        return self._commit(part, rows)

    def apart(
        self, part: Part, given_up: Mapping[str, str] | None = None, begin: Callable[[str | None], None] | None = None
    ) -> Commit:
        """The same clip by clip: what goes wrong with one is that clip's failures.

        Args:
            given_up: clips that are not tried, with the reason.
            begin: is called with each clip before it is computed, and with None once all are.
        """
        begin = begin or (lambda _: None)
        results: list[Computed | str | None] = []
        for alone in clip_parts(without(part, given_up or {})):
            begin(alone.pairs[0].clip.clip_id)
            try:
                results += _compute(alone, self._job.request, self._threads).results
            except Exception as error:
                results += _failed(alone, unexpected(error))
        begin(None)
        return self._commit(part, part_rows(DecodedPart(part, {}, results), self._job.request, self._job.metadata))

    def _commit(self, part: Part, rows: PartRows) -> Commit:
        return commit_rows(self._job.out, part.number, rows, self._job.request.parameters_hash)


@dataclass(slots=True)
class DecodedPart:
    """A part between its frames and its rows. Once every pair has its result, `part_rows` makes the rows."""

    part: Part
    frames: dict[_Key, Frame | FrameError]
    """Cropped and resized, by clip_id and number; each that a pair needs."""
    results: list[Computed | str | None]
    """Of each pair, in order: its cube, why it has none, or None while it is still to be computed."""

    def todo(self) -> list[int]:
        """The pairs that are still to be computed, as indices into the part's."""
        return [i for i, result in enumerate(self.results) if result is None]

    def frame(self, i: int, which: int) -> Frame:
        """Frame 0 or 1 of the part's i-th pair; both are of one dtype, (h, w)."""
        pair = self.part.pairs[i]
        number = pair.frame1 if which else pair.frame0
        assert number is not None
        frame = self.frames[pair.clip.clip_id, number]
        assert not isinstance(frame, FrameError)
        return frame

    def fail(self, i: int, reason: str) -> None:
        """Notes why the i-th pair has no cube."""
        self.results[i] = f"{self.part.pairs[i].clip.clip_id}: {reason}"


def run_part(
    part: Part,
    request: ExtractRequest,
    metadata: dict[str, Any] | None = None,
    *,
    threads: int = 1,
) -> PartRows:
    """Decodes a part's frames, each once, and computes its pairs on the CPU.

    Args:
        metadata: goes into the tables' schema, with the part's number and the decoders it used.
        threads: of the solver; they do not change the result.
    """
    return part_rows(_compute(part, request, threads), request, metadata)


def clip_parts(part: Part) -> Iterator[Part]:
    """The part divided into one a clip, in order; together they have its rows."""
    for _, pairs in itertools.groupby(part.pairs, lambda pair: pair.clip.clip_id):
        yield dataclasses.replace(part, pairs=tuple(pairs))


def without(part: Part, given_up: Mapping[str, str]) -> Part:
    """The part with the pairs of these clips failed, by clip_id with the reason."""
    pairs = (
        dataclasses.replace(pair, error=f"{pair.clip.clip_id}: {given_up[pair.clip.clip_id]}")
        if pair.error is None and pair.clip.clip_id in given_up
        else pair
        for pair in part.pairs
    )
    return dataclasses.replace(part, pairs=tuple(pairs))


def commit_failed(part: Part, job: Job, reason: str) -> Commit:
    """Commits a part that is given up: all its pairs are failures. Raises as `commit_rows`."""
    rows = part_rows(DecodedPart(part, {}, _failed(part, reason)), job.request, job.metadata)
    return commit_rows(job.out, part.number, rows, job.request.parameters_hash)


def unexpected(error: Exception) -> str:
    """What a failure row says of an error that nobody foresaw."""
    what = str(error).splitlines()[0] if str(error) else "no more is known"
    return f"{type(error).__name__}: {what}; mend that, or report it, and run it with --retry-failed"


def _failed(part: Part, reason: str) -> list[Computed | str | None]:
    return [pair.error or f"{pair.clip.clip_id}: {reason}" for pair in part.pairs]


def _compute(part: Part, request: ExtractRequest, threads: int) -> DecodedPart:
    """A part with the results of all its pairs."""
    decoded = decode_part(part, request)
    for chosen in _batches(decoded.todo(), lambda i: decoded.frame(i, 0).dtype, request.batch):
        frames0, frames1 = (np.stack([decoded.frame(i, which) for i in chosen]) for which in (0, 1))
        for i, result in zip(chosen, _solve(frames0, frames1, request, threads), strict=True):
            if isinstance(result, Computed):
                decoded.results[i] = result
            else:
                decoded.fail(i, result)
    return decoded


def decode_part(part: Part, request: ExtractRequest) -> DecodedPart:
    """Decodes, crops and resizes a part's frames, each once; pairs that lack one have their error already."""
    frames = dict(_part_frames(part, request))
    errors = [_pair_error(pair, frames) for pair in part.pairs]
    return DecodedPart(part, frames, list(errors))


def part_rows(decoded: DecodedPart, request: ExtractRequest, metadata: dict[str, Any] | None = None) -> PartRows:
    """The two tables of a part whose every pair has its result."""
    part = decoded.part
    pictures = _apexes(decoded, request)
    decoders = sorted({source.decoder for source in part.sources.values()})
    worker = {"versions": versions(), "simd": _core.simd_level()}
    labels = (metadata or {}) | {"part": part.number, "decoders": decoders, "worker": worker}
    pairs = list(zip(part.pairs, decoded.results, strict=True))
    assert not decoded.todo()
    computed = [(pair, result) for pair, result in pairs if isinstance(result, Computed)]
    failed = [(pair, result) for pair, result in pairs if isinstance(result, str)]
    return PartRows(_shard_table(part, computed, pictures, request, labels), _failure_table(failed, labels))


def _apexes(decoded: DecodedPart, request: ExtractRequest) -> list[Picture]:
    """The apex frames of the computed pairs, in order, where they are asked for; a pair without one has failed."""
    if request.rgb is None:
        return []
    computed = [i for i, result in enumerate(decoded.results) if isinstance(result, Computed)]
    found = apex_pictures(decoded.part, computed, request.rgb)
    for i, picture in found.items():
        if isinstance(picture, FrameError):
            decoded.fail(i, str(picture))
    return [picture for i in computed if not isinstance(picture := found[i], FrameError)]


def commit_rows(out: Path, part: int, rows: PartRows, parameters_hash: str) -> Commit:
    """Writes a part's files and then its commit record; an earlier attempt's count until then.

    Raises:
        Interrupted: if the disk is full or cannot be written.
    """
    names = new_names(out, part)
    files = []
    for folder, table in (("shards", rows.shard), ("failures", rows.failures)):
        if table is not None and table.num_rows:
            files.append(put_table(out, names[folder], table))
    computed = rows.shard.num_rows if rows.shard is not None else 0
    commit = Commit(part, computed, rows.failures.num_rows, parameters_hash, tuple(files))
    write_commit(out, commit)
    return commit


def _part_frames(part: Part, request: ExtractRequest) -> Iterator[tuple[_Key, Frame | FrameError]]:
    """The prepared frames (or what is wrong with them) that the part's pairs need, by clip_id and number."""
    needed: dict[str, set[int]] = {}
    for pair in part.pairs:
        if pair.error is None and pair.frame0 is not None and pair.frame1 is not None:
            needed.setdefault(pair.clip.clip_id, set()).update((pair.frame0, pair.frame1))
    for clip_id, numbers in needed.items():
        try:
            for number, frame in part.sources[clip_id].read(sorted(numbers)):
                yield (clip_id, number), _prepared(number, frame, part.framings[clip_id], request)
                numbers.discard(number)
        except Exception as error:
            reason = str(error) if isinstance(error, FlowkitError) else unexpected(error)
            yield from (((clip_id, number), FrameError(reason)) for number in sorted(numbers))


def _prepared(number: int, frame: Frame | FrameError, framing: Framing, request: ExtractRequest) -> Frame | FrameError:
    if isinstance(frame, FrameError):
        return frame
    if frame.shape != framing.frame_size:
        h, w = framing.frame_size
        return FrameError(
            f"frame {number} has {frame.shape[1]} x {frame.shape[0]} px, its clip {w} x {h}; "
            "give frames of one size to each clip"
        )
    # A copy where `prepare` gives a view: a crop shall not keep its whole frame in memory.
    return np.ascontiguousarray(prepare(frame, framing.box, request.size))


def _solve(frames0: Frame, frames1: Frame, request: ExtractRequest, threads: int) -> list[Computed | str]:
    try:
        cubes, iterations = motion_cube(
            frames0,
            frames1,
            preset=request.preset,
            params=request.params,
            device="cpu",
            threads=threads,
            variant=request.strain,
            return_iterations=True,
        )
    except InputError as error:
        if len(frames0) == 1:
            return [str(error)]
        # One pair's failure is not its neighbours': each on its own.
        return [_solve(frames0[i : i + 1], frames1[i : i + 1], request, threads)[0] for i in range(len(frames0))]
    cubes = cubes.astype(request.dtype, copy=False)
    return [Computed(cube, int(count)) for cube, count in zip(cubes, iterations, strict=True)]


def _pair_error(pair: Pair, frames: dict[_Key, Frame | FrameError]) -> str | None:
    """Why a pair cannot be computed, or None."""
    clip_id = pair.clip.clip_id
    if pair.error is not None:
        return pair.error
    assert pair.frame0 is not None
    assert pair.frame1 is not None
    types: list[Any] = []
    for number in (pair.frame0, pair.frame1):
        frame = frames.get((clip_id, number), FrameError(f"frame {number} was not delivered by its source"))
        if isinstance(frame, FrameError):
            return f"{clip_id}: {str(frame).removeprefix(f'{clip_id}: ')}"
        types.append(frame.dtype)
    if types[0] != types[1]:
        return (
            f"{clip_id}: frame {pair.frame0} is {types[0]} and frame {pair.frame1} is {types[1]}; give both one depth"
        )
    return None


def _batches(todo: Iterable[int], kind: Callable[[int], Any], most: int) -> Iterator[list[int]]:
    """Indices of one kind, at most `most` at once."""
    groups: dict[Any, list[int]] = {}
    for i in todo:
        groups.setdefault(kind(i), []).append(i)
    for group in groups.values():
        yield from (group[start : start + most] for start in range(0, len(group), most))


def _shard_table(
    part: Part,
    rows: list[tuple[Pair, Computed]],
    pictures: list[Picture],
    request: ExtractRequest,
    metadata: dict[str, Any],
) -> pa.Table | None:
    if not rows:
        return None
    assert part.shape is not None
    schema = shard_schema(*part.shape, request.dtype, metadata, rgb=request.rgb)
    records = [_record(pair, part.framings[pair.clip.clip_id]) for pair, _ in rows]
    columns: dict[str, Any] = {
        field.name: pa.array([record[field.name] for record in records], field.type)
        for field in schema
        if field.name not in ("cube", "iterations", "apex_rgb")
    }
    columns["cube"] = cube_column(np.stack([result.cube for _, result in rows]))
    columns["apex_rgb"] = cube_column(np.stack(pictures)) if pictures else pa.nulls(len(rows))
    columns["iterations"] = pa.array([result.iterations for _, result in rows], pa.int32())
    return pa.table(columns, schema=schema)


def _record(pair: Pair, framing: Framing) -> dict[str, Any]:
    clip = pair.clip
    return {
        "pair_id": pair.pair_id,
        "clip_id": clip.clip_id,
        "dataset": clip.dataset,
        "subject": clip.subject,
        "person": clip.person,
        "role": pair.role,
        "frame0": pair.frame0,
        "frame1": pair.frame1,
        "fps": framing.fps,
        "emotion": clip.emotion,
        "emotion3": clip.emotion3,
        "au": clip.au,
        "ethnicity": clip.ethnicity,
        "group": clip.group,
        "age": clip.age,
        "gender": clip.gender,
        "label_source": clip.label_source,
        "box": dataclasses.asdict(framing.box) if framing.box else None,
        "transform": None,
    }


def _failure_table(rows: list[tuple[Pair, str]], metadata: dict[str, Any]) -> pa.Table:
    records = [
        {
            "pair_id": pair.pair_id,
            "clip_id": pair.clip.clip_id,
            "role": pair.role,
            "frame0": pair.frame0,
            "frame1": pair.frame1,
            "error": error,
        }
        for pair, error in rows
    ]
    return pa.Table.from_pylist(records, schema=failure_schema(metadata))
