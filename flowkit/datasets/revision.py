"""A manifest that is revised: some columns change, others come beside them, and everything else stays as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flowkit.datasets.manifest import BESIDE, REQUIRED, SCHEMA, write_manifest
from flowkit.datasets.sources import clips_from
from flowkit.datasets.tables import TABLE_SUFFIXES, column_names, read_columns
from flowkit.errors import InputError
from flowkit.output.parquet import readable
from flowkit.output.store import Place, place
from flowkit.types import Clip


class Revision:
    """The clips of a manifest with all its columns, the user's own among them, which a reading as `Clip`s leaves out.

    Args:
        source: a manifest, or what stands for one: `flowkit.datasets.clips_from`.
        require_sources: as for `flowkit.datasets.read_manifest`.

    Raises:
        InputError: as `clips_from`, or for a cell of a column of `BESIDE` that is not of its type.
    """

    def __init__(self, source: str | Path, *, require_sources: bool = True) -> None:
        self.source = place(source)
        self.clips: list[Clip] = clips_from(self.source, require_sources=require_sources)
        self._own: dict[str, pa.Array] = {}
        if self.source.suffix.lower() in TABLE_SUFFIXES and self.source.is_file():
            self._own = {name: _typed(self.source, name, cells) for name, cells in _own_columns(self.source).items()}

    def column(self, name: str) -> list[Any]:
        """A column's values in the clips' order, all None where the manifest lacks it."""
        if name in SCHEMA.names:
            return [getattr(clip, name) for clip in self.clips]
        return self._own[name].to_pylist() if name in self._own else [None] * len(self.clips)

    def texts(self, name: str) -> list[str | None]:
        """A column's values as stripped texts; empty ones are None."""
        return [None if value is None else str(value).strip() or None for value in self.column(name)]

    def put(self, name: str, values: Sequence[Any]) -> None:
        """Replaces a column, or adds it behind the others, with a value a clip."""
        if len(values) != len(self.clips):
            raise InputError(f"column {name!r} has {len(values)} values for {len(self.clips)} clips")
        if name in SCHEMA.names:
            changed = zip(self.clips, values, strict=True)
            self.clips = [dataclasses.replace(clip, **{name: value}) for clip, value in changed]
        else:
            kind = BESIDE.field(name).type if name in BESIDE.names else pa.string()
            self._own[name] = pa.array(values, kind)

    def write(self, path: Path) -> None:
        """Writes the revised manifest, .parquet or .csv; raises as `flowkit.datasets.write_manifest`."""
        write_manifest(self.clips, path, self._own)


def require_manifest_name(path: Path) -> None:
    """An InputError for a manifest's name that does not end in .parquet or .csv, before any work is done."""
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise InputError(f"manifest {str(path)!r}: its name must end in {' or '.join(TABLE_SUFFIXES)}")


def _own_columns(path: Place) -> dict[str, pa.Array]:
    """The columns that are none of `SCHEMA`: of Parquet with their types, of CSV as texts."""
    names = [name for name in column_names(path, REQUIRED) if name and name not in SCHEMA.names]
    if path.suffix.lower() == ".parquet":
        table = pq.read_table(readable(path), columns=names)
        return {name: table[name].combine_chunks() for name in names}
    cells = read_columns(path, REQUIRED, (*REQUIRED, *names)).cells
    return {name: pa.array(cells[name], pa.string()) for name in names}


def _typed(path: Place, name: str, column: pa.Array) -> pa.Array:
    if name not in BESIDE.names:
        return column
    try:
        return column.cast(BESIDE.field(name).type)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: column {name!r} cannot be read ({error}); correct or remove the column") from error
