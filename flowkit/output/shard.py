"""Shards: Parquet files of motion cubes, a row a computed pair. docs/shards.md describes the format.

shards = flowkit.read("out")
labels = shards.table(["pair_id", "subject", "emotion3"])
for cubes in shards.cubes():        # (n, 3, h, w) of one shard: u, v, strain magnitude; a view, not a copy
    ...
for row in shards:                  # every column by name; row["cube"] is (3, h, w)
    ...
"""

from __future__ import annotations

import json
import operator
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, groupby
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flowkit.errors import InputError, OutputError
from flowkit.output.commit import Commit, FileRecord, read_commits, unrecorded
from flowkit.output.parquet import METADATA_KEY, Expected, read_row, read_schema, read_table
from flowkit.output.plan_file import planned_parts, read_run
from flowkit.output.quality import QUALITY
from flowkit.output.store import Place, place

BOX = pa.struct([pa.field(name, pa.int32(), nullable=False) for name in ("left", "top", "width", "height")])
POINTS = pa.list_(pa.list_(pa.float64(), 2))
_PAIR_FIELDS = [
    pa.field("pair_id", pa.string(), nullable=False),
    pa.field("clip_id", pa.string(), nullable=False),
    pa.field("dataset", pa.string()),
    pa.field("subject", pa.string()),
    pa.field("person", pa.string()),
    pa.field("role", pa.string(), nullable=False),
    pa.field("frame0", pa.int64(), nullable=False),
    pa.field("frame1", pa.int64(), nullable=False),
    pa.field("frames0", pa.list_(pa.int64())),
    pa.field("frames1", pa.list_(pa.int64())),
    pa.field("fps", pa.float64()),
    pa.field("emotion", pa.string()),
    pa.field("emotion3", pa.string()),
    pa.field("au", pa.string()),
    pa.field("ethnicity", pa.string()),
    pa.field("group", pa.string()),
    pa.field("age", pa.string()),
    pa.field("gender", pa.string()),
    pa.field("label_source", pa.string()),
    pa.field("box", BOX),
    pa.field("transform", pa.list_(pa.float64())),
    pa.field("removed", pa.list_(pa.float64())),
    pa.field("landmarks", POINTS),
    pa.field("landmark_flow", POINTS),
]
FAILURE_SCHEMA = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("frame0", pa.int64()),
        pa.field("frame1", pa.int64()),
        pa.field("error", pa.string(), nullable=False),
    ]
)
"""Columns of a file in `failures`."""


def shard_schema(
    h: int, w: int, dtype: str = "float32", metadata: Mapping[str, Any] | None = None, *, rgb: int | None = None
) -> pa.Schema:
    """The columns of a shard whose cubes are (3, h, w); `metadata` goes, as JSON, under the file's key "flowkit".

    `rgb` is the side of the apex frames, px; where it is None the column is there, of Arrow's type null.
    """
    cube = pa.fixed_shape_tensor(pa.from_numpy_dtype(np.dtype(dtype)), (3, h, w))
    fields = [
        *_PAIR_FIELDS,
        pa.field("cube", cube, nullable=False),
        pa.field("apex_rgb", pa.fixed_shape_tensor(pa.uint8(), (3, rgb, rgb)) if rgb else pa.null()),
        pa.field("iterations", pa.int32(), nullable=False),
        pa.field("quality", QUALITY),
    ]
    return pa.schema(fields, metadata=_encoded(metadata))


def failure_schema(metadata: Mapping[str, Any] | None = None) -> pa.Schema:
    """`FAILURE_SCHEMA` with a run's metadata, as in `shard_schema`."""
    return FAILURE_SCHEMA.with_metadata(_encoded(metadata))


def as_numpy(column: pa.ChunkedArray | pa.FixedShapeTensorArray) -> NDArray[Any]:
    """(n, 3, h, w) of a cube column of one chunk (as `read_table` and `ShardSet.shard` give it): a read-only view.

    The view keeps the Arrow memory alive. `torch.from_dlpack(column.chunk(0).storage.flatten())` is the same memory
    as a tensor, and all of the column where it has one chunk; tables of `pyarrow.parquet` have several.

    Raises:
        InputError: if the column has several chunks, whose memory cannot be one array.
    """
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks != 1:
            raise InputError(
                f"a cube column of {column.num_chunks} chunks is no single array; take one shard at a time"
            )
        column = column.chunk(0)
    array: NDArray[Any] = column.to_numpy_ndarray()
    return array


@dataclass(frozen=True)  # without slots: what follows from the commits is found once
class ShardSet:
    """The committed part of an extraction's output: a sequence of its computed pairs, in plan order.

    `len` is their number, `shards[i]` and iteration give rows: every column by name, `cube` as a read-only NumPy array
    (3, h, w), a view of what was read; `shards[i:j]` gives a list of rows. Iteration and slices read a shard at a time;
    an index reads the row group it is in.

    Whatever reads a file raises an OutputError where it is missing or damaged, or says that it holds another part,
    other parameters or more or fewer rows than its commit record does.
    """

    folder: Place
    metadata: dict[str, Any]
    """`run.json`: parameters, their hash, preset, versions, the manifest's fingerprint, the plan's size."""
    commits: tuple[Commit, ...]

    def __repr__(self) -> str:
        shards = f"{len(self.paths)} shard{'' if len(self.paths) == 1 else 's'}"
        state = "finished" if self.finished else f"not finished, {self._planned - len(self) - self._failed} pairs to do"
        preset = f"preset {self.metadata.get('preset')}"
        return (
            f"<ShardSet {str(self.folder)!r}: {len(self)} pairs in {shards}, {self._cubes_told()}, {preset}, {state}>"
        )

    @property
    def finished(self) -> bool:
        """Whether every planned pair is here, as a row or a failure; else the same extraction, run again, goes on."""
        return len(self.commits) == planned_parts(self.metadata)

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter of the run by name; those of the solver are under "tvl1"."""
        parameters: dict[str, Any] = self.metadata["parameters"]
        return parameters

    @property
    def paths(self) -> list[Place]:
        """The shards, in plan order; parts of which every pair failed have none."""
        return [path for path, _ in self._shards]

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, i: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, i: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, i: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        """The i-th computed pair, from the end where i is negative; of a slice all of its pairs, in its order.

        Raises IndexError, and as `read_table`.
        """
        if isinstance(i, slice):
            return self._rows_of(range(len(self))[i])
        row = operator.index(i)
        if not -len(self) <= row < len(self):
            raise IndexError(f"pair {i}: {self.folder} has {len(self)}, numbered from 0")
        row %= len(self)
        shard = bisect_right(self._ends, row)
        path, expected = self._shards[shard]
        return next(_rows(read_row(path, row - (self._ends[shard] - expected.rows), expected)))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Every computed pair in turn, as `__getitem__` gives it."""
        for i in range(len(self._shards)):
            yield from _rows(self.shard(i))

    def shard(self, i: int, columns: Sequence[str] | None = None) -> pa.Table:
        """The i-th shard's rows; its cube column is one chunk, for `as_numpy`. Raises as `read_table`."""
        path, expected = self._shards[i]
        return read_table(path, columns, expected)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of all shards in plan order; leave the column `cube` out where they would not fit in memory.

        Raises:
            InputError: for an unknown column, or for cubes of several shapes in one table.
            OutputError: if a shard is missing or damaged, or nothing was computed.
        """
        tables = [read_table(path, columns, expected) for path, expected in self._shards]
        if not tables:
            raise OutputError(f"{self.folder} has no computed pair; its failures say why")
        shapes = {str(table.schema.field("cube").type.shape) for table in tables if "cube" in table.column_names}
        if len(shapes) > 1:
            raise InputError(
                f"{self.folder} has cubes of several shapes ({', '.join(sorted(shapes))}); "
                "read them shard by shard, or extract with --size"
            )
        return pa.concat_tables([table.replace_schema_metadata(None) for table in tables])

    @overload
    def cubes(self) -> Iterator[NDArray[Any]]: ...
    @overload
    def cubes(self, i: int) -> NDArray[Any]: ...
    def cubes(self, i: int | None = None) -> NDArray[Any] | Iterator[NDArray[Any]]:
        """(n, 3, h, w) of the i-th shard, or of each shard in turn; see `as_numpy`. Raises as `read_table`."""
        if i is None:
            return (self.cubes(i) for i in range(len(self._shards)))
        return as_numpy(self.shard(i, ["cube"])["cube"])

    def failures(self) -> pa.Table:
        """The planned pairs that could not be computed, with their errors, in plan order: columns `FAILURE_SCHEMA`."""
        files = self._files("failures")
        tables = [read_table(path, expected=expected).replace_schema_metadata(None) for path, expected in files]
        return pa.concat_tables([FAILURE_SCHEMA.empty_table(), *tables])

    def _rows_of(self, wanted: range) -> list[dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        for i, here in groupby(sorted(wanted), lambda row: bisect_right(self._ends, row)):
            rows = list(_rows(self.shard(i)))
            start = self._ends[i] - len(rows)
            found |= {row: rows[row - start] for row in here}
        return [found[row] for row in wanted]

    @property
    def _planned(self) -> int:
        pairs: int = self.metadata["plan"]["pairs"]
        return pairs

    @property
    def _failed(self) -> int:
        return sum(commit.failed for commit in self.commits)

    def _cubes_told(self) -> str:
        """The shape and type of the cubes for people, from the files' footers."""
        try:
            types = {read_schema(path).field("cube").type for path in self.paths}
        except (OutputError, KeyError):
            return "cubes that cannot be read"
        told = sorted(f"{tuple(kind.shape)} {np.dtype(kind.value_type.to_pandas_dtype())}" for kind in types)
        return f"cubes of {len(told)} shapes" if len(told) > 1 else f"cubes {told[0]}" if told else "no cubes"

    @cached_property
    def _shards(self) -> list[tuple[Place, Expected]]:
        return self._files("shards")

    @cached_property
    def _ends(self) -> list[int]:
        """How many pairs the shards have together up to the end of each."""
        return [*accumulate(expected.rows for _, expected in self._shards)]

    def _files(self, folder: str) -> list[tuple[Place, Expected]]:
        """The files of one of the folders, in plan order, with what its commit record says of each."""
        return [
            (self.folder / file.name, expected_of(commit, file))
            for commit in self.commits
            if (file := commit.file(folder))
        ]


def read(out: str | Place) -> ShardSet:
    """Opens an extraction's output, finished or not (`ShardSet.finished`); only committed parts are read.

    Raises:
        OutputError: if the folder is no output of flowkit, or of a later version, or run.json or a commit record is
            damaged, or there is a shard or a record that belongs to no part.
    """
    folder = place(out)
    metadata = read_run(folder)
    parts = planned_parts(metadata)
    commits, damaged = read_commits(folder, parts)
    strays = unrecorded(folder, commits, unfinished=set(range(parts)) - set(commits))
    problems = [*damaged.values(), *(told for _, told in strays)]
    if problems:
        more = f" ({len(problems) - 1} more problems: flowkit verify names them)" if len(problems) > 1 else ""
        raise OutputError(f"{problems[0]}{more}")
    shards = ShardSet(folder, metadata, tuple(commits.values()))
    pairs = sum(commit.computed + commit.failed for commit in shards.commits)
    if shards.finished and pairs != metadata["plan"]["pairs"]:
        raise OutputError(
            f"{folder} holds {pairs} of {metadata['plan']['pairs']} planned pairs although no part is missing; "
            "flowkit verify says where"
        )
    return shards


def expected_of(commit: Commit, file: FileRecord) -> Expected:
    """What a commit's shard, or its file of failures, must say of itself."""
    cubes = file.name.startswith("shards/")
    return Expected(commit.part, file.rows, commit.parameters_hash, cubes, file.footer_sha256)


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """A shard's rows, every column by name, the cubes as views."""
    names = [field.name for field in table.schema if isinstance(field.type, pa.FixedShapeTensorType)]
    labels = table.drop_columns(names).to_pylist()
    for label, *views in zip(labels, *(as_numpy(table[name]) for name in names), strict=True):
        yield {**label, **dict(zip(names, views, strict=True))}


def _encoded(metadata: Mapping[str, Any] | None) -> dict[bytes, bytes] | None:
    return None if metadata is None else {METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()}
