"""Writing an output: its tables, and its commit records.

A part's files are written first and its record last. A part that is computed again gets files of other names, its
record is replaced, and the earlier files go. So a run that dies at any moment leaves whole parts and, at most, files
that count for nothing and that the next run removes. What a part has computed is only replaced by what has it too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flowkit.errors import FlowkitError, OutputError
from flowkit.output.commit import (
    FOLDERS,
    SHARED,
    Commit,
    FileRecord,
    Kept,
    commit_of,
    entries,
    part_file,
    read_commit,
    without_attempt,
)
from flowkit.output.files import TEMPORARY, is_abandoned, is_as_written, is_old, put, put_text, sync_folder, unwritten
from flowkit.output.parquet import METADATA_KEY, footer_sha256, read_table
from flowkit.output.plan_file import PAIRS_FILE, RUN_FILE, SURVEY_FILE
from flowkit.output.record import put_record, sealed
from flowkit.output.store import Place, StorePath, Tag
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

    `part-00012.parquet` as a rule; `part-00012.3f9a.parquet` where there is a commit record, which names others, and
    where another process may be at the same part (`mark_several`), as in an object store always.
    """
    names = {folder: part_file(folder, part) for folder in _PART_FOLDERS}
    if isinstance(out, StorePath):
        attempt = uuid.uuid4().hex[:16]
        return {folder: _of_attempt(name, attempt) for folder, name in names.items()}
    several = (out / SEVERAL_FILE).exists()
    if not several and not (out / part_file("commits", part)).exists():
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
        raise unwritten(record, error) from error
    remove_files(out, {file.name for file in files})


def mark_several(out: Place) -> None:
    """From now on no attempt at a part touches the files of another: only the last record counts. Raises as `put`.

    In an object store it is always so.
    """
    if not isinstance(out, StorePath) and not (out / SEVERAL_FILE).exists():
        put_text(out / SEVERAL_FILE, "several processes may have computed one part\n")


def _of_attempt(name: str, attempt: str) -> str:
    return f"{name.removesuffix('.parquet')}.{attempt}.parquet"


def write_commit(out: Place, commit: Commit, pairs: tuple[Set[str], Set[str]] | None = None) -> Commit:
    """Writes a part's commit record, which makes the part count, in place of an earlier one, whose files go then.

    At every moment either the earlier record with its files is valid or the new one with its own. Of runs that do this
    at once in an object store, each removes the files of the record that its own has replaced. Raises as `put`.

    Args:
        pairs: the pair ids of its shard and of its failures: what the part has stays, and these files go, where the
            part has a computed pair that this shard lacks. None: whatever it has is replaced.

    Returns:
        The commit, or what the part keeps.

    Raises:
        OutputError: if its files are gone: what took this process for dead has removed them, with another's record.
    """
    own = {file.name for file in commit.files}
    _require_files(out, commit)
    while True:  # it ends: each turn but the last is one in which another run has committed the part
        earlier, tag = _earlier(out, commit.part)
        if pairs and earlier and (lost := _lost(out, earlier, own, *pairs)):
            remove_files(out, own)
            kept = (earlier.part, earlier.computed, earlier.failed, earlier.parameters_hash, earlier.files)
            return Kept(*kept, lost=frozenset(lost))
        if _replaced(out / part_file("commits", commit.part), commit, tag):
            break
    left = {file.name for file in earlier.files} if earlier else set()
    if isinstance(out, Path):  # what an attempt that was killed has left under names that no later one gives its files
        left |= {part_file(folder, commit.part) for folder in _PART_FOLDERS}
    remove_files(out, left - own)
    return commit


def remove_files(out: Place, names: Iterable[str]) -> None:
    """Removes files of a part that no record names any more."""
    for name in filter(_is_part_file, names):
        # Should this fail, or the run die here: a later run removes the file.
        with suppress(OSError, FlowkitError):
            (out / name).unlink(missing_ok=True)


def _require_files(out: Place, commit: Commit) -> None:
    if isinstance(out, Path) and not commit.is_whole(out):
        raise OutputError(f"the files of part {commit.part} were removed by another run; this attempt does not count")


def _earlier(out: Place, part: int) -> tuple[Commit | None, Tag | None]:
    """The commit of a part that is there, without files where its record is damaged; its record's tag in a store."""
    record, tag = out / part_file("commits", part), None
    with suppress(FileNotFoundError):
        try:
            if isinstance(record, StorePath):
                content, tag = record.read_tagged()
                return commit_of(record, content.decode(errors="replace")), tag
            if record.exists():
                return read_commit(record), None
        except OutputError:
            return Commit(part, 0, 0, "", ()), tag
    return None, None


def _replaced(record: Place, commit: Commit, tag: Tag | None) -> bool:
    """Puts a part's commit record; in a store only if the one that is there is still that of the tag, or none is."""
    if not isinstance(record, StorePath):
        put_record(record, dataclasses.asdict(commit))
        return True
    with suppress(Overtaken):
        record.put_if(sealed(dataclasses.asdict(commit)).encode(), tag)
        return True
    return False


def _lost(out: Place, earlier: Commit, own: Set[str], computed: Set[str], failed: Set[str]) -> Set[str]:
    """The pairs that a part has computed and an attempt at it, of these files, has not.

    The shard says which it has computed. Where it cannot be read, the record says how many.
    """
    if earlier.files:
        names = {file.name for file in earlier.files if file.name.startswith("shards/")}
    else:  # a damaged record names none
        found = {f"shards/{path.name}" for path in entries(out, "shards")} - own
        names = {name for name in found if without_attempt(name) == part_file("shards", earlier.part)}
    there = [ids for name in names if (ids := _pair_ids(out / name, earlier.part)) is not None]
    if there:
        return set().union(*there) - computed
    if len(computed) >= earlier.computed:
        return set()
    file = earlier.file("failures")
    return failed - ((file and _pair_ids(out / file.name, earlier.part)) or set())


def _pair_ids(path: Place, part: int) -> set[str] | None:
    """The pair ids of a shard or a file of failures; None where it cannot be read, or is another part's."""
    try:
        table = read_table(path, ["pair_id"])
        metadata = json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"{}"))
    except (OutputError, ValueError):
        return None
    return {*table["pair_id"].to_pylist()} if metadata.get("part") == part else None


def remove_temporary(out: Path, alone: bool) -> None:
    """Removes what runs that were killed have left half-written.

    Args:
        alone: no other run can be writing to OUT; else only what nobody writes to any more is removed.
    """
    for folder in FOLDERS:
        for path in (out / folder).glob(f"{TEMPORARY}*"):
            if alone or is_abandoned(path):
                path.unlink(missing_ok=True)


def remove_superseded(out: Place, commits: Mapping[int, Commit], alone: bool) -> None:
    """Removes files of parts that none of these commit records names; those of parts whose record is damaged stay.

    Runs that were killed leave them, before a record was written or after it was replaced.

    Args:
        commits: of all records that can be read.
        alone: as for `remove_temporary`; else only what is a day old is removed.
    """
    named = {file.name for commit in commits.values() for file in commit.files}
    records = {f"commits/{path.name}" for path in entries(out, "commits")}
    damaged = records.difference(part_file("commits", part) for part in commits)
    for folder in _PART_FOLDERS:
        for path in entries(out, folder):
            name = f"{folder}/{path.name}"
            record = f"commits/{path.name.partition('.')[0]}.json"
            if name in named or record in damaged or not _is_part_file(name):
                continue
            if alone or is_old(path):
                path.unlink(missing_ok=True)


def _is_part_file(name: str) -> bool:
    return _PART_FILE.fullmatch(name) is not None
