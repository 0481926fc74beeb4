"""Parquet files of an output, read whole and with their page checksums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flowkit.errors import InputError, OutputError


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A shard's table, its page checksums checked; each column is one chunk.

    Raises:
        InputError: for a column that the shard does not have.
        OutputError: if the file is missing or damaged.
    """
    with _opened(path) as file:
        unknown = set(columns or ()) - set(file.schema_arrow.names)
        if unknown:
            known = ", ".join(file.schema_arrow.names)
            raise InputError(f"{path} has no column {sorted(unknown)[0]!r}; its columns are {known}")
        table = file.read(columns=columns)
    return table if columns is None else table.select(columns)


def read_row(path: Path, row: int) -> pa.Table:
    """One row of a shard, of which its row group is read; raises as `read_table`."""
    with _opened(path) as file:
        before = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row < before + rows:
                return file.read_row_group(group).slice(row - before, 1)
            before += rows
    raise OutputError(
        f"{path} has {before} rows, not the {row + 1} or more of its record; flowkit verify says what to do"
    )


def read_schema(path: Path) -> pa.Schema:
    """A shard's columns and metadata, without its rows; an OutputError if the file is missing or damaged."""
    with _opened(path) as file:
        return file.schema_arrow


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except InputError:
        raise
    # What a damaged footer holds may also be no text, or name a type that there is not.
    except (OSError, pa.ArrowException, ValueError) as error:
        reason = " ".join(str(error).split())
        raise OutputError(f"{path} is damaged or missing ({reason}); flowkit verify says what to do") from error
