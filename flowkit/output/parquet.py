"""Parquet files of an output, read whole, with their page checksums and that of the footer where one is known."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flowkit.errors import InputError, OutputError
from flowkit.output.store import Place, StorePath

METADATA_KEY = b"flowkit"
"""Of a file of shards or failures: its run, its part and its worker, as JSON."""
_TAIL_BYTES = 1 << 16
"""Of a file's end that are read at once; they hold most footers whole."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file of shards or failures must say of itself to be the one that its commit record names."""

    part: int
    rows: int
    parameters_hash: str
    cubes: bool
    """Whether it is a shard."""
    footer_sha256: str | None = field(default=None, compare=False)

    def require_footer(self, path: Place, file: Any) -> None:
        """An OutputError where a file that can be read, and its position moved, has another footer."""
        if self.footer_sha256 is not None and footer_sha256(file) != self.footer_sha256:
            raise OutputError(
                f"{path} is damaged (its footer is not the one that its commit record names); "
                "flowkit verify says what to do"
            )

    def require(self, path: Place, file: pq.ParquetFile) -> None:
        """An OutputError where the file is another part's, another run's, or has other rows, though it is whole."""
        metadata = json.loads((file.schema_arrow.metadata or {}).get(METADATA_KEY, b"{}"))
        part = metadata.get("part", metadata.get("unit"))  # schema version 1 calls it a unit
        found = Expected(
            part, file.metadata.num_rows, str(metadata.get("parameters_hash")), "cube" in file.schema_arrow.names
        )
        if found != self:
            raise OutputError(f"{path} holds {found}, its commit record names {self}; flowkit verify says what to do")

    def __str__(self) -> str:
        what = "a shard" if self.cubes else "failures"
        return f"{what} of part {self.part} (rows: {self.rows}, parameters {self.parameters_hash[:12]})"


def footer_sha256(file: Any) -> str:
    """SHA-256 (hex) of a Parquet file's footer: its columns, their types and places, and its metadata.

    Of what has no such footer, it is that of its end.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(-min(size, _TAIL_BYTES), io.SEEK_END)
    tail: bytes = file.read()
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if len(tail) < length <= size:
        file.seek(-length, io.SEEK_END)
        tail = file.read()
    file.seek(0)
    return hashlib.sha256(tail[-length:]).hexdigest()


def read_table(path: Place, columns: Sequence[str] | None = None, expected: Expected | None = None) -> pa.Table:
    """A shard's table, its page checksums checked; each column is one chunk.

    Raises:
        InputError: for a column that the shard does not have, or a text in place of a list of them.
        OutputError: if the file is missing or damaged, or not the expected one.
    """
    if isinstance(columns, str):
        raise InputError(f"columns={columns!r}: give a list of names, as [{columns!r}]")
    with _opened(path, expected, whole=True) as file:
        unknown = set(columns or ()) - set(file.schema_arrow.names)
        if unknown:
            known = ", ".join(file.schema_arrow.names)
            raise InputError(f"{path} has no column {sorted(unknown)[0]!r}; its columns are {known}")
        table = file.read(columns=columns)
    return table if columns is None else table.select(columns)


def read_row(path: Place, row: int, expected: Expected | None = None) -> pa.Table:
    """One row of a shard, of which its row group is read; raises as `read_table`."""
    with _opened(path, expected) as file:
        before = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row < before + rows:
                return file.read_row_group(group).slice(row - before, 1)
            before += rows
    raise OutputError(
        f"{path} has {before} rows, not the {row + 1} or more of its record; flowkit verify says what to do"
    )


def read_schema(path: Place) -> pa.Schema:
    """A shard's columns and metadata, without its rows; an OutputError if the file is missing or damaged."""
    with _opened(path) as file:
        return file.schema_arrow


@contextmanager
def _opened(path: Place, expected: Expected | None = None, *, whole: bool = False) -> Iterator[pq.ParquetFile]:
    try:
        source = readable(path, whole)
        with pq.ParquetFile(source, page_checksum_verification=True) as file:
            if expected is not None:
                expected.require(path, file)
                with path.open("rb") if isinstance(path, Path) else nullcontext(source) as opened:
                    expected.require_footer(path, opened)
            yield file
    except InputError:
        raise
    # What a damaged footer holds may also be no text, or name a type that there is not.
    except (OSError, pa.ArrowException, ValueError) as error:
        reason = " ".join(str(error).split())
        raise OutputError(f"{path} is damaged or missing ({reason}); flowkit verify says what to do") from error


def readable(path: Place, whole: bool = True) -> Any:
    """What pyarrow can read; of a blob of which not all is needed, a file that fetches what is read."""
    if not isinstance(path, StorePath):
        return path
    return pa.BufferReader(path.read_bytes()) if whole else pa.PythonFile(path.ranges(), mode="r")
