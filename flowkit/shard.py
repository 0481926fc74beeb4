"""Shards: Parquet files of motion cubes, a row a computed pair. docs/shards.md describes the format.

shards = flowkit.read("out")
labels = shards.table(["pair_id", "subject", "emotion3"])
for cubes in shards.cubes():        # (n, 3, h, w) of one shard: u, v, strain magnitude; a view, not a copy
    ...
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flowkit.commit import Commit, commit_paths, read_commit
from flowkit.types import InputError, OutputError

SHARD_SCHEMA_VERSION = 1
ROW_GROUP = 32
METADATA_KEY = b"flowkit"

BOX = pa.struct([pa.field(name, pa.int32(), nullable=False) for name in ("left", "top", "width", "height")])

_PAIR_FIELDS = [
    pa.field("pair_id", pa.string(), nullable=False),
    pa.field("clip_id", pa.string(), nullable=False),
    pa.field("dataset", pa.string()),
    pa.field("subject", pa.string()),
    pa.field("role", pa.string(), nullable=False),
    pa.field("frame0", pa.int64(), nullable=False),
    pa.field("frame1", pa.int64(), nullable=False),
    pa.field("fps", pa.float64()),
    pa.field("emotion", pa.string()),
    pa.field("emotion3", pa.string()),
    pa.field("au", pa.string()),
    pa.field("ethnicity", pa.string()),
    pa.field("group", pa.string()),
    pa.field("box", BOX),
    pa.field("transform", pa.list_(pa.float64())),
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


def shard_schema(h: int, w: int, dtype: str = "float32", metadata: Mapping[str, Any] | None = None) -> pa.Schema:
    """The columns of a shard whose cubes are (3, h, w); `metadata` goes, as JSON, under the file's key "flowkit"."""
    cube = pa.fixed_shape_tensor(pa.from_numpy_dtype(np.dtype(dtype)), (3, h, w))
    fields = [
        *_PAIR_FIELDS,
        pa.field("cube", cube, nullable=False),
        pa.field("iterations", pa.int32(), nullable=False),
    ]
    return pa.schema(fields, metadata=_encoded(metadata))


def failure_schema(metadata: Mapping[str, Any] | None = None) -> pa.Schema:
    """`FAILURE_SCHEMA` with a run's metadata, as in `shard_schema`."""
    return FAILURE_SCHEMA.with_metadata(_encoded(metadata))


def cube_column(cubes: NDArray[Any]) -> pa.FixedShapeTensorArray:
    """The Arrow column of a contiguous (n, 3, h, w) array, without a copy."""
    count, *shape = cubes.shape
    tensor = pa.fixed_shape_tensor(pa.from_numpy_dtype(cubes.dtype), shape)
    values = pa.array(cubes.reshape(-1))
    storage = pa.FixedSizeListArray.from_arrays(values, type=tensor.storage_type)
    assert len(storage) == count
    return pa.ExtensionArray.from_storage(tensor, storage)


def write_part(table: pa.Table, path: Path) -> None:
    """Writes a shard or a file of failures at `path`, and reads its footer and row count back.

    Uncompressed, because float flow hardly compresses and an uncompressed page is read by one copy; with page
    checksums, because Parquet readers notice a flipped byte in no other way.

    Raises:
        OSError: as the file system gives it, or if the file read back has another number of rows.
    """
    texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
    pq.write_table(
        table,
        path,
        row_group_size=ROW_GROUP,
        compression="none",
        use_dictionary=texts,
        write_statistics=texts,
        write_page_checksum=True,
        store_schema=True,
    )
    rows = pq.ParquetFile(path).metadata.num_rows
    if rows != table.num_rows:
        raise OSError(f"{table.num_rows} rows were written and {rows} are read back")


def read_part(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A shard's table, its page checksums checked; each column is one chunk.

    Raises:
        InputError: for a column that the shard does not have.
        OutputError: if the file is missing or damaged.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            unknown = set(columns or ()) - set(file.schema_arrow.names)
            if unknown:
                known = ", ".join(file.schema_arrow.names)
                raise InputError(f"{path} has no column {sorted(unknown)[0]!r}; its columns are {known}")
            table = file.read(columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise OutputError(f"{path} is damaged or missing ({error}); flowkit verify says what to do") from error
    return table if columns is None else table.select(columns)


def as_numpy(column: pa.ChunkedArray | pa.FixedShapeTensorArray) -> NDArray[Any]:
    """(n, 3, h, w) of a cube column of one chunk (as `read_part` and `ShardSet.shard` give it): a read-only view.

    The view keeps the Arrow memory alive. `torch.from_dlpack(column.chunk(0).storage.flatten())` is the same memory
    as a tensor.

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


@dataclass(frozen=True, slots=True)
class ShardSet:
    """The committed part of an extraction's output; `len` is the number of computed pairs."""

    folder: Path
    metadata: dict[str, Any]
    """`run.json`: parameters, their hash, preset, versions, the manifest's fingerprint, the plan's size."""
    commits: tuple[Commit, ...]

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter of the run by name; those of the solver are under "tvl1"."""
        parameters: dict[str, Any] = self.metadata["parameters"]
        return parameters

    @property
    def paths(self) -> list[Path]:
        """The shards, in plan order; units of which every pair failed have none."""
        return self._paths("shards")

    def __len__(self) -> int:
        return sum(commit.computed for commit in self.commits)

    def shard(self, i: int, columns: Sequence[str] | None = None) -> pa.Table:
        """The i-th shard's rows; its cube column is one chunk, for `as_numpy`. Raises as `read_part`."""
        return read_part(self.paths[i], columns)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of all shards in plan order; leave the column `cube` out where they would not fit in memory.

        Raises:
            InputError: for an unknown column, or for cubes of several shapes in one table.
            OutputError: if a shard is missing or damaged, or nothing was computed.
        """
        tables = [read_part(path, columns) for path in self.paths]
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
        """(n, 3, h, w) of the i-th shard, or of each shard in turn; see `as_numpy`. Raises as `read_part`."""
        if i is None:
            return (self.cubes(i) for i in range(len(self.paths)))
        return as_numpy(self.shard(i, ["cube"])["cube"])

    def failures(self) -> pa.Table:
        """The planned pairs that could not be computed, with their errors, in plan order: columns `FAILURE_SCHEMA`."""
        tables = [read_part(path).replace_schema_metadata(None) for path in self._paths("failures")]
        return pa.concat_tables([FAILURE_SCHEMA.empty_table(), *tables])

    def _paths(self, folder: str) -> list[Path]:
        return [self.folder / file.name for commit in self.commits if (file := commit.file(folder))]


def read(out: str | Path) -> ShardSet:
    """Opens an extraction's output, finished or not; only committed units are read.

    Raises:
        OutputError: if the folder is no output of flowkit, or of a later version, or a commit record is damaged.
    """
    folder = Path(out)
    metadata = read_run(folder)
    return ShardSet(folder, metadata, tuple(read_commit(path) for path in commit_paths(folder)))


def read_run(out: Path) -> dict[str, Any]:
    """`run.json` of an output; an OutputError if it is missing, damaged or of a later schema version."""
    path = out / "plan" / "run.json"
    try:
        run: dict[str, Any] = json.loads(path.read_text())
        version = run["schema_version"]
    except FileNotFoundError as error:
        raise OutputError(f"{str(out)!r} is no output of flowkit extract: it has no plan/run.json") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{path} is damaged ({error!r}); extract again into another -o") from error
    if version != SHARD_SCHEMA_VERSION:
        raise OutputError(
            f"{str(out)!r} has shards of schema version {version}, this flowkit reads {SHARD_SCHEMA_VERSION}; "
            "use the flowkit that wrote it"
        )
    return run


def _encoded(metadata: Mapping[str, Any] | None) -> dict[bytes, bytes] | None:
    return None if metadata is None else {METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()}
