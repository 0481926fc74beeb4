"""Parquet files of an output, read whole and with their page checksums."""

from __future__ import annotations

from collections.abc import Sequence
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
