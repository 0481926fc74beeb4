"""The plan of an extraction: every pair, in order, and its division into units of work.

The plan depends on the clips and the request alone. So a run that was stopped plans again, finds the same units, and
does those that are missing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flowkit.commit import put, put_text, record_of
from flowkit.datasets import manifest_fingerprint
from flowkit.faces import FaceCrop, parse_face
from flowkit.frames import FrameSource, open_source
from flowkit.pairs import parse_plan, plan_pairs
from flowkit.request import ExtractRequest, first_difference, versions
from flowkit.shard import SHARD_SCHEMA_VERSION, read_part, read_run
from flowkit.types import Box, Clip, FlowkitError, FrameError, InputError, OutputError, Pair

PLAN_SCHEMA = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("frame0", pa.int64()),
        pa.field("frame1", pa.int64()),
        pa.field("unit", pa.int32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("frame_base", pa.int64(), nullable=False),
    ]
)
"""Columns of plan/pairs.parquet; the last two say where the frames were when the plan was made, for pictures."""
_PLANNED = PLAN_SCHEMA.names[:-2]

PAIRS_FILE = "plan/pairs.parquet"
RUN_FILE = "plan/run.json"

MOST_ROWS = 128
UNIT_PIXELS = MOST_ROWS * 224 * 224


@dataclass(frozen=True, slots=True)
class Framing:
    """How the frames of one clip become the solver's input: all sizes are (height, width)."""

    frame_size: tuple[int, int]
    """Of the source's frames; a frame of another size is a failure."""
    box: Box | None
    shape: tuple[int, int]
    """Of the cropped and resized frame, and so of the cube."""
    fps: float | None


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of work that is committed as a whole: consecutive pairs whose cubes have one shape."""

    number: int
    pairs: tuple[Pair, ...]
    shape: tuple[int, int] | None
    """(h, w) of its cubes; None where none of its pairs can be computed."""
    framings: dict[str, Framing]
    """By clip_id; clips of which no frame can be read have none."""


class SourceCache:
    """Opens the frames of clips and keeps the last one open, since consecutive pairs are mostly of one clip."""

    def __init__(self) -> None:
        self._last: tuple[tuple[str, int], FrameSource] | None = None

    def __call__(self, clip: Clip) -> FrameSource:
        """The clip's frames; raises FrameError or InputError as `flowkit.frames.open_source`."""
        key = (clip.source, clip.frame_base)
        if self._last is None or self._last[0] != key:
            self._last = None
            self._last = (key, open_source(clip.source, frame_base=clip.frame_base))
        return self._last[1]


def rows_per_unit(shape: tuple[int, int] | None) -> int:
    """Rows of a full unit: as much memory as 128 cubes of 224 x 224, and never more rows than that."""
    if shape is None:
        return MOST_ROWS
    return min(max(UNIT_PIXELS // (shape[0] * shape[1]), 1), MOST_ROWS)


def make_units(clips: Sequence[Clip], request: ExtractRequest) -> list[Unit]:
    """Every pair of the clips, in order, divided into units; a pair that cannot be computed carries its error.

    Raises:
        InputError: if the request's face boxes cannot be read, a clip_id occurs twice, or there is no clip.
    """
    seen: set[str] = set()
    for clip in clips:
        if clip.clip_id in seen:
            raise InputError(f"clip_id {clip.clip_id!r} occurs twice; give each clip its own")
        seen.add(clip.clip_id)
    if not clips:
        raise InputError("there is no clip to extract")
    return list(_divide(_framed_pairs(clips, request)))


def _framed_pairs(clips: Sequence[Clip], request: ExtractRequest) -> Iterator[tuple[Pair, Framing | None]]:
    face, plan, cache = parse_face(request.face), parse_plan(request.pairs), SourceCache()
    for clip in clips:
        framing: Framing | None = None
        error: str | None = None
        for pair in plan_pairs([clip], plan, cache):
            if pair.error is None and framing is None and error is None:
                try:
                    framing = frame_clip(clip, cache(clip), face, request.size)
                except FlowkitError as problem:
                    error = _of_clip(clip, problem)
            yield (pair if pair.error or not error else dataclasses.replace(pair, error=error)), framing


def frame_clip(clip: Clip, source: FrameSource, face: FaceCrop, size: tuple[int, int] | None) -> Framing:
    """How the clip's frames are cropped and resized; a FrameError if none can be read or the clip has no box."""
    frame_size = _frame_size(source)
    box = face.box(clip, frame_size)
    shape = size or ((box.height, box.width) if box else frame_size)
    return Framing(frame_size, box, shape, clip.fps if clip.fps is not None else source.fps)


def _frame_size(source: FrameSource) -> tuple[int, int]:
    """The size of the first frame that can be read: one that cannot be shall cost its own pairs only."""
    try:
        return source.size()
    except FrameError as error:
        for _, frame in source.read(source.numbers()):
            if not isinstance(frame, FrameError):
                return frame.shape[0], frame.shape[1]
        raise error


def _divide(pairs: Iterable[tuple[Pair, Framing | None]]) -> Iterator[Unit]:
    """A new unit where one is full or the shape changes; pairs that cannot be computed stay with their neighbours.

    So a clip that is mended after a run, and has its neighbours' shape, leaves the division as it was.
    """
    number = 0
    rows: list[Pair] = []
    framings: dict[str, Framing] = {}
    shape: tuple[int, int] | None = None
    for pair, framing in pairs:
        new_shape = framing.shape if framing else shape
        if rows and ((shape and new_shape != shape) or len(rows) >= rows_per_unit(new_shape)):
            yield Unit(number, tuple(rows), shape, framings)
            number, rows, framings, shape = number + 1, [], {}, None
        rows.append(pair)
        if framing:
            framings[pair.clip.clip_id] = framing
            shape = framing.shape
    if rows:
        yield Unit(number, tuple(rows), shape, framings)


def run_metadata(clips: Sequence[Clip], request: ExtractRequest) -> dict[str, Any]:
    """What made a run, as it stands in `run.json` and in each shard."""
    return {
        "schema_version": SHARD_SCHEMA_VERSION,
        "parameters": request.to_dict(),
        "parameters_hash": request.parameters_hash,
        "preset": request.preset,
        "manifest_fingerprint": manifest_fingerprint(clips),
        "versions": versions(),
    }


def settle_plan(out: Path, units: Sequence[Unit], metadata: dict[str, Any]) -> None:
    """Writes the plan into a new output, or makes sure that an older one was planned alike.

    Raises:
        OutputError: naming what differs, if OUT was made with other parameters, another manifest or other frames.
        Interrupted: if OUT cannot be written.
    """
    if (out / RUN_FILE).exists():
        _require_same(out, units, metadata)
        return
    table = _plan_table(units)
    put(out / PAIRS_FILE, lambda path: _write_plan(table, path))
    record = record_of(out, PAIRS_FILE, table.num_rows)
    plan = {"pairs": table.num_rows, "units": len(units), "sha256": record.sha256}
    put_text(out / RUN_FILE, json.dumps(metadata | {"plan": plan}, indent=1) + "\n")


def read_plan(out: Path) -> pa.Table:
    """plan/pairs.parquet of an output, columns `PLAN_SCHEMA`; an OutputError if it is missing or damaged."""
    return read_part(out / PAIRS_FILE)


def _require_same(out: Path, units: Sequence[Unit], metadata: dict[str, Any]) -> None:
    run = read_run(out)
    if difference := first_difference(run["parameters"], metadata["parameters"]):
        name, there, here = difference
        raise OutputError(
            f"{str(out)!r} was made with {name}={there!r}, this run asks for {name}={here!r}; give another -o"
        )
    if run["manifest_fingerprint"] != metadata["manifest_fingerprint"]:
        raise OutputError(
            f"{str(out)!r} was made from another manifest (fingerprint {run['manifest_fingerprint'][:12]}, this one "
            f"has {metadata['manifest_fingerprint'][:12]}); give another -o"
        )
    # Frames that were moved as a whole are still the same frames.
    there, here = read_plan(out).select(_PLANNED), _plan_table(units).select(_PLANNED)
    if not there.equals(here):
        raise OutputError(
            f"{str(out)!r} was planned from other frames ({_first_change(there, here)}); "
            "bring the frames back, or give another -o"
        )


def _first_change(there: pa.Table, here: pa.Table) -> str:
    for old, new in zip(there.to_pylist(), here.to_pylist(), strict=False):
        if old != new:
            name = next(name for name in _PLANNED if old[name] != new[name] and name != "pair_id")
            return f"clip {new['clip_id']}: {name} {old[name]} then, {new[name]} now"
    return f"{there.num_rows} pairs then, {here.num_rows} now"


def _plan_table(units: Sequence[Unit]) -> pa.Table:
    rows = [
        (pair.pair_id, clip.clip_id, pair.role, pair.frame0, pair.frame1, unit.number, clip.source, clip.frame_base)
        for unit in units
        for pair in unit.pairs
        for clip in (pair.clip,)
    ]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, PLAN_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=PLAN_SCHEMA)


def _write_plan(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, write_page_checksum=True)


def _of_clip(clip: Clip, error: FlowkitError) -> str:
    text = str(error)
    return text if text.startswith(clip.clip_id) else f"{clip.clip_id}: {text}"
