"""Writing an output: its tables, and its commit records.

A part's files are written first and its record last. A part that is computed again gets files of other names, its
record is replaced, and the earlier files go. So a run that dies at any moment leaves whole parts and, at most, files
that count for nothing and that the next run removes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flowkit.errors import FlowkitError, Interrupted, OutputError
from flowkit.output.commit import FOLDERS, SHARED, Commit, FileRecord, commit_of, entries, part_file, read_commit
from flowkit.output.files import TEMPORARY, is_abandoned, is_as_written, is_old, put, put_text, sync_folder, unwritable
from flowkit.output.parquet import footer_sha256
from flowkit.output.plan_file import PAIRS_FILE, RUN_FILE, SURVEY_FILE
from flowkit.output.record import put_record, sealed
from flowkit.output.store import Place, StorePath
from flowkit.output.store_client import Overtaken

ROW_GROUP = 32
SEVERAL_FILE = f"plan/{SHARED}-by-several"
"""Once it is there, several processes may be at one part: each attempt's files get names of their own."""
_PART_FOLDERS = ("shards", "failures")
_PART_FILE = re.compile(r"(shards|failures)/part-[0-9]+(\.[0-9a-f]+)?\.parquet")
_CHECKSUM = {PAIRS_FILE: "sha256", SURVEY_FILE: "survey_sha256"}
"""Under which name of a plan the checksum of each of its tables stands."""


def cube_column(cubes: NDArray[Any]) -> pa.FixedShapeTensorArray:
    """The Arrow column of a contiguous (n, 3, h, w) array, without a copy."""
    count, *shape = cubes.shape
    tensor = pa.fixed_shape_tensor(pa.from_numpy_dtype(cubes.dtype), shape)
    values = pa.array(cubes.reshape(-1))
    storage = pa.FixedSizeListArray.from_arrays(values, type=tensor.storage_type)
    assert len(storage) == count
    return pa.ExtensionArray.from_storage(tensor, storage)


def write_table(table: pa.Table, path: Path) -> None:
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


def put_table(out: Place, name: str, table: pa.Table) -> FileRecord:
    """Writes a shard or a file of failures, by its name relative to OUT, whole or not at all; its record.

    Raises:
        Interrupted: if the disk is full or cannot be written.
    """
    footers: list[str] = []

    def write(path: Path) -> None:
        write_table(table, path)
        with path.open("rb") as file:
            footers.append(footer_sha256(file))

    written = put(out / name, write)
    return FileRecord(name, table.num_rows, written.bytes, written.sha256, footers[-1])


def write_plan(
    out: Place, tables: Mapping[str, pa.Table], run: dict[str, Any], *, new: bool = False, mended: bool = False
) -> bool:
    """Writes tables of the plan and then `run.json`, which has their checksums and makes OUT an output.

    Args:
        tables: pairs and survey, one of them, or none, by their names relative to OUT.
        run: what `run.json` is to hold, but for the checksums of these tables.
        mended: OUT's pairs are replaced, which are read with what `run.json` says of them: it is written first.
        new: OUT had no plan. In an object store, where nothing can be locked, nothing is overwritten then.

    Returns:
        Whether this plan is OUT's; False where another run's `run.json` has come first.

    Raises:
        Interrupted: if the disk is full or cannot be written.
        OutputError: if another run is planning something else, or was stopped while it did.
    """
    if new and isinstance(out, StorePath):
        return _write_new_plan(out, tables, run)
    if mended:
        digests = {_CHECKSUM[name]: plain_digest(table) for name, table in tables.items()}
        put_record(out / RUN_FILE, run | {"plan": run["plan"] | digests})
    checksums = {
        _CHECKSUM[name]: put(out / name, lambda path, table=table: _write_plain(table, path)).sha256  # type: ignore[misc]
        for name, table in tables.items()
    }
    if not mended:
        put_record(out / RUN_FILE, run | {"plan": run["plan"] | checksums})
    return True


def _write_new_plan(out: StorePath, tables: Mapping[str, pa.Table], run: dict[str, Any]) -> bool:
    """See `write_plan`. Runs that plan the same at once write the same tables, whoever comes first."""
    checksums = {}
    for name, table in tables.items():
        content = _plain_bytes(table)
        checksums[_CHECKSUM[name]] = digest = hashlib.sha256(content).hexdigest()
        try:
            (out / name).put_if(content, None)
        except Overtaken:
            if not is_as_written(out / name, digest) and not (out / RUN_FILE).exists():
                raise OutputError(
                    f"{out / name} is there without {RUN_FILE}, and is not what this run plans: another run is "
                    "planning there, or was stopped while it did; wait for it, or remove that file, or give another -o"
                ) from None
    try:
        (out / RUN_FILE).put_if(sealed(run | {"plan": run["plan"] | checksums}).encode(), None)
    except Overtaken:
        return False
    return True


def plain_digest(table: pa.Table) -> str:
    """The SHA-256 (hex) that the file of a plan's table would have."""
    return hashlib.sha256(_plain_bytes(table)).hexdigest()


def _plain_bytes(table: pa.Table) -> bytes:
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, write_page_checksum=True)
    content: bytes = buffer.getvalue().to_pybytes()
    return content


def _write_plain(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, write_page_checksum=True)


def new_names(out: Place, part: int) -> dict[str, str]:
    """The names, by folder, under which a part's files can be written without touching those that count.

    `part-00012.parquet` as a rule; `part-00012.3f9a.parquet` where a commit record counts, which names others, and
    where another process may be at the same part (`mark_several`), as in an object store always. A record that does not
    count goes first.

    Raises:
        Interrupted: if it cannot be removed.
    """
    names = {folder: part_file(folder, part) for folder in _PART_FOLDERS}
    if isinstance(out, StorePath):
        attempt = uuid.uuid4().hex[:16]
        return {folder: _of_attempt(name, attempt) for folder, name in names.items()}
    record = out / part_file("commits", part)
    several = (out / SEVERAL_FILE).exists()
    if not several and not record.exists():
        return names
    if not several and not _counts(out, record):
        drop_commit(out, part)
        return names
    digits = 16 if several else 4
    attempt = uuid.uuid4().hex[:digits]
    while any((out / _of_attempt(name, attempt)).exists() for name in names.values()):
        attempt = uuid.uuid4().hex[:digits]
    return {folder: _of_attempt(name, attempt) for folder, name in names.items()}


def drop_commit(out: Place, part: int, files: Iterable[FileRecord] = ()) -> None:
    """Removes a part's commit record, and then the files that it names: from then on the part is to be computed.

    Raises:
        Interrupted: if the record cannot be removed.
    """
    record = out / part_file("commits", part)
    try:
        record.unlink(missing_ok=True)
        if isinstance(record, Path):
            sync_folder(record.parent)
    except OSError as error:
        raise Interrupted(unwritable(record, error)) from error
    remove_files(out, {file.name for file in files})


def mark_several(out: Place) -> None:
    """From now on no attempt at a part touches the files of another: only the last record counts. Raises as `put`.

    In an object store it is always so.
    """
    if not isinstance(out, StorePath) and not (out / SEVERAL_FILE).exists():
        put_text(out / SEVERAL_FILE, "several processes may have computed one part\n")


def _counts(out: Path, record: Path) -> bool:
    try:
        return read_commit(record).is_whole(out)
    except OutputError:
        return False


def _of_attempt(name: str, attempt: str) -> str:
    return f"{name.removesuffix('.parquet')}.{attempt}.parquet"


def write_commit(out: Place, commit: Commit) -> None:
    """Writes a part's commit record, which makes the part count, in place of an earlier one, whose files go then.

    At every moment either the earlier record with its files is valid or the new one with its own. Of runs that do this
    at once in an object store, each removes the files of the record that its own has replaced. Raises as `put`.

    Raises:
        OutputError: if its files are gone: what took this process for dead has removed them, with another's record.
    """
    record = out / part_file("commits", commit.part)
    _require_files(out, commit)
    earlier = _replace_in_store(record, commit) if isinstance(record, StorePath) else _replace_on_disk(record, commit)
    left = {file.name for file in earlier}
    if isinstance(out, Path):  # what an attempt that was killed has left under names that no later one gives its files
        left |= {part_file(folder, commit.part) for folder in _PART_FOLDERS}
    remove_files(out, left - {file.name for file in commit.files})


def remove_files(out: Place, names: Iterable[str]) -> None:
    """Removes files of a part that no record names any more."""
    for name in filter(_is_part_file, names):
        # Should this fail, or the run die here: a later run removes the file.
        with suppress(OSError, FlowkitError):
            (out / name).unlink(missing_ok=True)


def _require_files(out: Place, commit: Commit) -> None:
    if isinstance(out, Path) and not commit.is_whole(out):
        raise OutputError(f"the files of part {commit.part} were removed by another run; this attempt does not count")


def _replace_on_disk(record: Path, commit: Commit) -> tuple[FileRecord, ...]:
    """Puts a part's commit record, and gives the files of the one that was there."""
    earlier: tuple[FileRecord, ...] = ()
    if record.exists():
        with suppress(OutputError):
            earlier = read_commit(record).files
    put_record(record, dataclasses.asdict(commit))
    return earlier


def _replace_in_store(record: StorePath, commit: Commit) -> tuple[FileRecord, ...]:
    """The same where another run may do it at the same moment: what is replaced is what was read."""
    content = sealed(dataclasses.asdict(commit)).encode()
    while True:  # it ends: each turn but the last is one in which another run has committed the part
        earlier: tuple[FileRecord, ...] = ()
        tag = None
        with suppress(FileNotFoundError):
            there, tag = record.read_tagged()
            with suppress(OutputError):
                earlier = commit_of(record, there.decode(errors="replace")).files
        with suppress(Overtaken):
            record.put_if(content, tag)
            return earlier


def remove_temporary(out: Path, alone: bool) -> None:
    """Removes what runs that were killed have left half-written.

    Args:
        alone: no other run can be writing to OUT; else only what nobody writes to any more is removed.
    """
    for folder in FOLDERS:
        for path in (out / folder).glob(f"{TEMPORARY}*"):
            if alone or is_abandoned(path):
                path.unlink(missing_ok=True)


def remove_superseded(out: Place, commits: Iterable[Commit], alone: bool) -> None:
    """Removes files of parts that none of these commit records, which are all that count, names.

    Runs that were killed leave them, before a record was written or after it was replaced.

    Args:
        alone: as for `remove_temporary`; else only what is a day old is removed.
    """
    counting = {file.name for commit in commits for file in commit.files}
    for folder in _PART_FOLDERS:
        for path in entries(out, folder):
            name = f"{folder}/{path.name}"
            if name not in counting and _is_part_file(name) and (alone or is_old(path)):
                path.unlink(missing_ok=True)


def _is_part_file(name: str) -> bool:
    return _PART_FILE.fullmatch(name) is not None
