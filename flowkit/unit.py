"""The unit of work: from a unit's planned pairs to its rows, and from the rows to its committed files.

`run_unit` is a pure function of the unit, the request and the frames; whichever engine calls it, in whichever process
and order, the rows are the same, bit for bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flowkit.commit import Commit, part_name, put, record_of, withdraw, write_commit
from flowkit.cube import motion_cube
from flowkit.faces import prepare
from flowkit.frames import FrameSource
from flowkit.plan import Framing, SourceCache, Unit
from flowkit.request import ExtractRequest
from flowkit.shard import cube_column, failure_schema, shard_schema, write_part
from flowkit.types import Clip, FlowkitError, FrameError, InputError, Pair

Frame = NDArray[Any]
Opener = Callable[[Clip], FrameSource]
_Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Job:
    """What all units of a run share; plain data, sent once to each worker."""

    out: Path
    request: ExtractRequest
    metadata: dict[str, Any]
    """What `flowkit.plan.run_metadata` gives."""


@dataclass(frozen=True, slots=True)
class Computed:
    """A pair's result: cube (3, h, w) float32 or float16, and the solver's iterations."""

    cube: Frame
    iterations: int


@dataclass(frozen=True, slots=True)
class UnitRows:
    """A unit's result: each of its pairs is one row, in one of the two tables."""

    shard: pa.Table | None
    """None where no pair could be computed."""
    failures: pa.Table


class UnitRunner:
    """Computes and commits the units of one job, one after the other; each worker has one."""

    def __init__(self, job: Job, threads: int = 1) -> None:
        self._job = job
        self._threads = threads
        self._cache = SourceCache()

    def __call__(self, unit: Unit) -> Commit:
        """Runs a unit and commits its files; raises Interrupted where they cannot be written."""
        job = self._job
        rows = run_unit(unit, job.request, job.metadata, opener=self._cache, threads=self._threads)
        return commit_rows(job.out, unit.number, rows, job.request.parameters_hash)


@dataclass(slots=True)
class DecodedUnit:
    """A unit between its frames and its rows. Once every pair has its result, `unit_rows` makes the rows."""

    unit: Unit
    frames: dict[_Key, Frame | FrameError]
    """Cropped and resized, by clip_id and number; each that a pair needs."""
    decoders: tuple[str, ...]
    results: list[Computed | str | None]
    """Of each pair, in order: its cube, why it has none, or None while it is still to be computed."""

    def todo(self) -> list[int]:
        """The pairs that are still to be computed, as indices into the unit's."""
        return [i for i, result in enumerate(self.results) if result is None]

    def frame(self, i: int, which: int) -> Frame:
        """Frame 0 or 1 of the unit's i-th pair; both are of one dtype, (h, w)."""
        pair = self.unit.pairs[i]
        number = pair.frame1 if which else pair.frame0
        assert number is not None
        frame = self.frames[pair.clip.clip_id, number]
        assert not isinstance(frame, FrameError)
        return frame

    def fail(self, i: int, reason: str) -> None:
        """Notes why the i-th pair has no cube."""
        self.results[i] = f"{self.unit.pairs[i].clip.clip_id}: {reason}"


def run_unit(
    unit: Unit,
    request: ExtractRequest,
    metadata: dict[str, Any] | None = None,
    *,
    opener: Opener | None = None,
    threads: int = 1,
) -> UnitRows:
    """Decodes a unit's frames, each once, and computes its pairs on the CPU.

    Args:
        metadata: goes into the tables' schema, with the unit's number and the decoders it used.
        opener: opens a clip's frames.
        threads: of the solver; they do not change the result.
    """
    decoded = decode_unit(unit, request, opener or SourceCache())
    for chosen in _batches(decoded.todo(), lambda i: decoded.frame(i, 0).dtype, request.batch):
        frames0, frames1 = (np.stack([decoded.frame(i, which) for i in chosen]) for which in (0, 1))
        for i, result in zip(chosen, _solve(frames0, frames1, request, threads), strict=True):
            if isinstance(result, Computed):
                decoded.results[i] = result
            else:
                decoded.fail(i, result)
    return unit_rows(decoded, request, metadata)


def decode_unit(unit: Unit, request: ExtractRequest, opener: Opener) -> DecodedUnit:
    """Decodes, crops and resizes a unit's frames, each once; pairs that lack one have their error already."""
    decoders: set[str] = set()
    frames = dict(_unit_frames(unit, request, opener, decoders))
    errors = [_pair_error(pair, frames) for pair in unit.pairs]
    return DecodedUnit(unit, frames, tuple(sorted(decoders)), list(errors))


def unit_rows(decoded: DecodedUnit, request: ExtractRequest, metadata: dict[str, Any] | None = None) -> UnitRows:
    """The two tables of a unit whose every pair has its result."""
    unit = decoded.unit
    labels = (metadata or {}) | {"unit": unit.number, "decoders": list(decoded.decoders)}
    pairs = list(zip(unit.pairs, decoded.results, strict=True))
    assert not decoded.todo()
    computed = [(pair, result) for pair, result in pairs if isinstance(result, Computed)]
    failed = [(pair, result) for pair, result in pairs if isinstance(result, str)]
    return UnitRows(_shard_table(unit, computed, request, labels), _failure_table(failed, labels))


def commit_rows(out: Path, unit: int, rows: UnitRows, parameters_hash: str) -> Commit:
    """Writes a unit's files and then its commit record; an earlier attempt's are withdrawn first.

    Raises:
        Interrupted: if the disk is full or cannot be written.
    """
    withdraw(out, unit)
    files = []
    for folder, table in (("shards", rows.shard), ("failures", rows.failures)):
        if table is not None and table.num_rows:
            name = part_name(folder, unit)
            put(out / name, lambda path, table=table: write_part(table, path))  # type: ignore[misc]
            files.append(record_of(out, name, table.num_rows))
    computed = rows.shard.num_rows if rows.shard is not None else 0
    commit = Commit(unit, computed, rows.failures.num_rows, parameters_hash, tuple(files))
    write_commit(out, commit)
    return commit


def _unit_frames(
    unit: Unit, request: ExtractRequest, opener: Opener, decoders: set[str]
) -> Iterator[tuple[_Key, Frame | FrameError]]:
    """The prepared frames (or what is wrong with them) that the unit's pairs need, by clip_id and number."""
    needed: dict[str, set[int]] = {}
    clips: dict[str, Clip] = {}
    for pair in unit.pairs:
        if pair.error is None and pair.frame0 is not None and pair.frame1 is not None:
            clips[pair.clip.clip_id] = pair.clip
            needed.setdefault(pair.clip.clip_id, set()).update((pair.frame0, pair.frame1))
    for clip_id, numbers in needed.items():
        try:
            source = opener(clips[clip_id])
            decoders.add(source.decoder)
            for number, frame in source.read(sorted(numbers)):
                yield (clip_id, number), _prepared(number, frame, unit.framings[clip_id], request)
                numbers.discard(number)
        except FlowkitError as error:
            yield from (((clip_id, number), FrameError(str(error))) for number in sorted(numbers))


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
    unit: Unit, rows: list[tuple[Pair, Computed]], request: ExtractRequest, metadata: dict[str, Any]
) -> pa.Table | None:
    if not rows:
        return None
    assert unit.shape is not None
    schema = shard_schema(*unit.shape, request.dtype, metadata)
    records = [_record(pair, unit.framings[pair.clip.clip_id]) for pair, _ in rows]
    columns: dict[str, Any] = {
        field.name: pa.array([record[field.name] for record in records], field.type)
        for field in schema
        if field.name not in ("cube", "iterations")
    }
    columns["cube"] = cube_column(np.stack([result.cube for _, result in rows]))
    columns["iterations"] = pa.array([result.iterations for _, result in rows], pa.int32())
    return pa.table(columns, schema=schema)


def _record(pair: Pair, framing: Framing) -> dict[str, Any]:
    clip = pair.clip
    return {
        "pair_id": pair.pair_id,
        "clip_id": clip.clip_id,
        "dataset": clip.dataset,
        "subject": clip.subject,
        "role": pair.role,
        "frame0": pair.frame0,
        "frame1": pair.frame1,
        "fps": framing.fps,
        "emotion": clip.emotion,
        "emotion3": clip.emotion3,
        "au": clip.au,
        "ethnicity": clip.ethnicity,
        "group": clip.group,
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
