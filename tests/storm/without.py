"""Takes one of the commit's precautions out, in the process that calls it: so that a test can see the storm notice."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

PRECAUTIONS = ("sync of files", "sync of folders", "record last")


def take_out(precaution: str) -> None:
    """Makes flowkit go without one of `PRECAUTIONS`, for the rest of this process."""
    if precaution == "record last":
        _record_first()
    else:
        _no_sync(of_folders=precaution == "sync of folders")


def _no_sync(of_folders: bool) -> None:
    real = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode) is not of_folders:
            real(handle)

    os.fsync = fsync


def _record_first() -> None:
    """The commit record is written before the files that it names, with every sync as it was."""
    from flowkit.extraction import part
    from flowkit.output import writer

    put_table, write_commit = part.put_table, part.write_commit
    late: list[tuple[Any, ...]] = []

    def put_later(out: Path, name: str, table: Any) -> Any:
        with tempfile.TemporaryDirectory() as elsewhere:
            (Path(elsewhere) / name).parent.mkdir()
            record = put_table(Path(elsewhere), name, table)
        late.append((out, name, table))
        return record

    def write_first(out: Path, commit: Any, pairs: Any = None) -> Any:
        counting = write_commit(out, commit, pairs)
        while late:
            put_table(*late.pop(0))
        return counting

    part.put_table, part.write_commit = put_later, write_first
    writer._require_files = lambda *_: None
