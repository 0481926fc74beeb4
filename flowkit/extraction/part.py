"""The part of work: from a part's planned pairs to its rows, and from the rows to its committed files.

`run_part` is a pure function of the part, the request and the frames; whichever engine calls it, in whichever process
and order, the rows are the same, bit for bit.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

import flowkit._core as _core
from flowkit.errors import FlowkitError, FrameError, InputError, Interrupted
from flowkit.extraction.apex import Picture, apex_pictures
from flowkit.extraction.decode import FrameStore, assess, decode_part, value_range
from flowkit.extraction.decoded import Computed, CubeMemory, DecodedPart, Frame, unexpected
from flowkit.extraction.framing import Framing
from flowkit.extraction.line import Line, Turn
from flowkit.extraction.plan import Part
from flowkit.extraction.request import ExtractRequest, versions
from flowkit.extraction.steadying import finish
from flowkit.motion.cube import motion_cube
from flowkit.output.commit import Commit, Kept
from flowkit.output.plan_file import require_plan
from flowkit.output.quality import QUALITY
from flowkit.output.shard import failure_schema, shard_schema
from flowkit.output.store import Place
from flowkit.output.writer import cube_column, new_names, put_table, remove_files, write_commit
from flowkit.types import Pair


@dataclass(frozen=True, slots=True)
class Job:
    """What all parts of a run share; plain data, sent once to each worker."""

    out: Place
    request: ExtractRequest
    metadata: dict[str, Any]
    """What `flowkit.extraction.resume.run_metadata` gives."""
    plan_sha256: str | None = None
    """Of the plan that the parts are of, where other runs can replace it: it is looked at again before each commit."""
    may_lose: bool = False
    """A part may come to have fewer computed pairs than it has."""


@dataclass(frozen=True, slots=True)
class PartRows:
    """A part's result: each of its pairs is one row, in one of the two tables."""

    shard: pa.Table | None
    """None where no pair could be computed."""
    failures: pa.Table


class PartRunner:
    """Computes and commits the parts of one job; each worker has one.

    Several threads may call it: while one part is solved, the next is decoded and the last one written.
    """

    def __init__(self, job: Job, threads: int = 1) -> None:
        self._job = job
        self._threads = threads
        self._store = FrameStore()
        self._memory = CubeMemory()
        self._writer = ThreadPoolExecutor(1, "writer")
        """One thread makes all tables: Arrow keeps, for each thread that has written a part, what that took."""
        self.line = Line()

    def _writing(self, turn: Turn, work: Callable[[], Any]) -> Any:
        """What this gives on the writing thread, whose CPU time is the turn's."""

        def timed() -> Any:
            began = time.thread_time()
            try:
                return work()
            finally:
                turn.times.cpu_s["write"] += time.thread_time() - began

        return self._writer.submit(timed).result()

    def __call__(self, part: Part) -> Commit:
        """Runs a part and commits its files; raises Interrupted where they cannot be written."""
        with self.line.enter() as turn:
            return self.run(part, turn)

    def run(self, part: Part, turn: Turn) -> Commit:
        """The same for a part that has entered the line; raises Stopped besides, where that is stopped."""
        try:
            decoded = _compute(part, self._job.request, self._threads, self._store, turn, self._memory)
            turn.to("write")
            rows = self._writing(turn, lambda: part_rows(decoded, self._job.request, self._job.metadata))
        except Interrupted:
            raise
        except Exception:  # of which clip is seen when each is computed on its own
            turn.to("write")
            return self.apart(part)
        commit: Commit = self._writing(turn, lambda: self._commit(part, rows))
        if decoded.cubes is not None:
            self._memory.give_back(decoded.cubes)
        return commit

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
                results += _finished(_compute(alone, self._job.request, self._threads, self._store), self._job.request)
            except Interrupted:
                raise
            except Exception as error:
                results += _failed(alone, unexpected(error))
        begin(None)
        return self._commit(part, part_rows(DecodedPart(part, {}, results), self._job.request, self._job.metadata))

    def _commit(self, part: Part, rows: PartRows) -> Commit:
        return commit_rows(self._job, part.number, rows)


def run_part(
    part: Part,
    request: ExtractRequest,
    metadata: dict[str, Any] | None = None,
    *,
    threads: int = 1,
    store: FrameStore | None = None,
) -> PartRows:
    """Decodes a part's frames, each once, and computes its pairs on the CPU.

    Args:
        metadata: goes into the tables' schema, with the part's number and the decoders it used.
        threads: of the solver; they do not change the result.
        store: holds frames of earlier parts, which then need not be decoded again.
    """
    return part_rows(_compute(part, request, threads, store), request, metadata)


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
    return commit_rows(job, part.number, rows)


def _failed(part: Part, reason: str) -> list[Computed | str | None]:
    return [pair.error or f"{pair.clip.clip_id}: {reason}" for pair in part.pairs]


def _compute(
    part: Part,
    request: ExtractRequest,
    threads: int,
    store: FrameStore | None,
    turn: Turn | None = None,
    memory: CubeMemory | None = None,
) -> DecodedPart:
    """A part with the cubes of all its pairs; `part_rows` has to follow.

    Args:
        turn: on the line, where it has one.
        memory: what the cubes get theirs from, in one piece, as the shard's column will want it.
    """
    decoded = decode_part(part, request, store, turn.check if turn else lambda: None)
    if turn:
        turn.to("solve")
    row = decoded.take_memory(memory or CubeMemory(), request.dtype)
    for chosen in _batches(row, lambda i: decoded.frame(i, 0).dtype, request.batch):
        if turn:
            turn.check()
        frames0, frames1 = (np.stack([decoded.frame(i, which) for i in chosen]) for which in (0, 1))
        assert decoded.cubes is not None
        rows = decoded.cubes[row[chosen[0]] : row[chosen[-1]] + 1]
        if len(rows) != len(chosen):  # others lie between: frames of another depth
            rows = np.empty((len(chosen), *rows.shape[1:]), request.dtype)
        for i, result in zip(chosen, _solve(frames0, frames1, rows, request, threads), strict=True):
            if isinstance(result, Computed):
                decoded.results[i] = result
            else:
                decoded.fail(i, result)
    return decoded


def _finished(decoded: DecodedPart, request: ExtractRequest) -> list[Computed | str | None]:
    """The results with all that is found out about cubes, once for each."""
    assess(decoded)
    finish(decoded, request)
    return decoded.results


def part_rows(decoded: DecodedPart, request: ExtractRequest, metadata: dict[str, Any] | None = None) -> PartRows:
    """The two tables of a part whose every pair has its cube, or why it has none."""
    _finished(decoded, request)
    part = decoded.part
    pictures = _apexes(decoded, request)
    decoders = sorted({source.decoder for source in part.sources.values()})
    worker = {"versions": versions(), "simd": _core.simd_level()}
    labels = (metadata or {}) | {"part": part.number, "decoders": decoders, "worker": worker}
    pairs = list(zip(part.pairs, decoded.results, strict=True))
    assert not decoded.todo()
    computed = [(pair, result) for pair, result in pairs if isinstance(result, Computed)]
    failed = [(pair, result) for pair, result in pairs if isinstance(result, str)]
    cubes = _together([result.cube for _, result in computed], decoded.cubes)
    return PartRows(_shard_table(part, computed, cubes, pictures, request, labels), _failure_table(failed, labels))


def _together(cubes: list[Frame], memory: Frame | None) -> Frame | None:
    """Cubes as one array (n, 3, h, w): the memory that they were computed in, where it holds these and no others."""
    if not cubes:
        return None
    fits = memory is not None and len(cubes) == len(memory)
    if fits and all(cube.ctypes.data == row.ctypes.data for cube, row in zip(cubes, memory, strict=True)):  # type: ignore[arg-type]
        return memory
    return np.stack(cubes)


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


def commit_rows(job: Job, part: int, rows: PartRows) -> Commit:
    """Writes a part's files and then its commit record; an earlier attempt's count until then, and stay (`Kept`) where
    they have a computed pair that this one lacks.

    Raises:
        Interrupted: if the disk is full or cannot be written, or another run has replaced the plan.
    """
    out, names = job.out, new_names(job.out, part)
    files = []
    for folder, table in (("shards", rows.shard), ("failures", rows.failures)):
        if table is not None and table.num_rows:
            files.append(put_table(out, names[folder], table))
    computed = rows.shard.num_rows if rows.shard is not None else 0
    commit = Commit(part, computed, rows.failures.num_rows, job.request.parameters_hash, tuple(files))
    if job.plan_sha256 is not None:
        try:
            require_plan(out, job.plan_sha256)
        except FlowkitError:
            remove_files(out, names.values())
            raise
    failed = dict(zip(rows.failures["pair_id"].to_pylist(), rows.failures["error"].to_pylist(), strict=True))
    ids = {*(rows.shard["pair_id"].to_pylist() if rows.shard is not None else ())}
    counting = write_commit(out, commit, None if job.may_lose else (ids, failed.keys()))
    if isinstance(counting, Kept):
        error = next((error for pair_id, error in failed.items() if pair_id in counting.lost), "not planned there now")
        return dataclasses.replace(counting, error=error)
    return counting


def _solve(frames0: Frame, frames1: Frame, rows: Frame, request: ExtractRequest, threads: int) -> list[Computed | str]:
    """Each pair's cube, computed into its row, or why it has none."""
    try:
        cubes, iterations = motion_cube(
            frames0,
            frames1,
            preset=request.preset,
            params=request.params,
            device="cpu",
            threads=threads,
            value_range=value_range(frames0.dtype),
            variant=request.strain,
            return_iterations=True,
            out=rows,
        )
    except InputError as error:
        if len(frames0) == 1:
            return [str(error)]
        # One pair's failure is not its neighbours': each on its own.
        alone = (slice(i, i + 1) for i in range(len(frames0)))
        return [_solve(frames0[one], frames1[one], rows[one], request, threads)[0] for one in alone]
    return [Computed(cube, int(count)) for cube, count in zip(cubes, iterations, strict=True)]


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
    cubes: Frame | None,
    pictures: list[Picture],
    request: ExtractRequest,
    metadata: dict[str, Any],
) -> pa.Table | None:
    if cubes is None:
        return None
    assert part.shape is not None
    schema = shard_schema(*part.shape, request.dtype, metadata, rgb=request.rgb)
    records = [_record(pair, part.framings[pair.clip.clip_id], result) for pair, result in rows]
    columns: dict[str, Any] = {
        field.name: pa.array([record[field.name] for record in records], field.type)
        for field in schema
        if field.name not in ("cube", "iterations", "quality", "apex_rgb")
    }
    columns["cube"] = cube_column(cubes)
    columns["apex_rgb"] = cube_column(np.stack(pictures)) if pictures else pa.nulls(len(rows))
    columns["iterations"] = pa.array([result.iterations for _, result in rows], pa.int32())
    columns["quality"] = pa.array([result.quality for _, result in rows], QUALITY)
    return pa.table(columns, schema=schema)


def _record(pair: Pair, framing: Framing, result: Computed) -> dict[str, Any]:
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
        "frames0": pair.frames0,
        "frames1": pair.frames1,
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
        "transform": framing.transform,
        "removed": result.removed,
        "landmarks": None if result.landmarks is None else result.landmarks.tolist(),
        "landmark_flow": None if result.landmark_flow is None else result.landmark_flow.tolist(),
    }


def _failure_table(rows: list[tuple[Pair, str]], metadata: dict[str, Any]) -> pa.Table:
    records = [
        {
            "pair_id": pair.pair_id,
            "clip_id": pair.clip.clip_id,
            "role": pair.role,
            "frame0": pair.frame0,
            "frame1": pair.frame1,
            "error": error.encode(errors="backslashreplace").decode(),  # names of frames may be no UTF-8
        }
        for pair, error in rows
    ]
    return pa.Table.from_pylist(records, schema=failure_schema(metadata))
