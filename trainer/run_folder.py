"""The folder of a run: what it is, its folds as they are done, and their pooled predictions. docs/training.md has all.

    RUN/config.json              every choice, the input, the folds: written first
    RUN/folds/fold-0007.parquet  one finished fold: its predictions, learning curves, times
    RUN/weights/fold-0007.safetensors  its weights, where they were asked for
    RUN/predictions.parquet      all folds together, written when the last one is done
    RUN/tables/scores.parquet    and others: what metrics.json holds, as tables

Every file appears whole or not at all. A run that was stopped goes on with the folds that have no file yet.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flowkit.errors import OutputError
from flowkit.output.files import TEMPORARY, make_folder, put, unwritten
from flowkit.output.parquet import read_table
from flowkit.output.record import put_record, read_record
from trainer.folds import Fold

CONFIG = "config.json"
FOLDS = "folds"
WEIGHTS = "weights"
PREDICTIONS = "predictions.parquet"
REPORT = "report.html"
METRICS = "metrics.json"
BESIDE = "beside.html"
SEEDS = "seeds.json"
TABLES = "tables"
GRAD_CAM = "grad-cam/panels.png"
TENSORBOARD = "tensorboard"
RESULTS = (PREDICTIONS, REPORT, METRICS)
"""In the order of writing: a folder with a metrics.json is a whole run."""
SCHEMA_VERSION = 3
"""Of metrics.json."""
KEY = b"flowkit"
DIGEST_KEY = b"sha256"
_ANEW = "choose another folder or add --overwrite"
_DECIDING = ("config", "samples_sha256", "weights", "versions", "device", "folds")
"""What must be the same for a run to go on: all that decides a fold's numbers."""


@dataclass(frozen=True, slots=True)
class FoldFile:
    """One finished fold as its file has it."""

    heads: dict[str, NDArray[np.float32]]
    """Probabilities of each head, (held-out rows, classes of the head), rows in the order of the fold."""
    about: dict[str, Any]
    """`fold`, `name`, `ethnic_classes`, `normalise`, `scale`, `curves`, `epoch`, `seconds`."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's folder on disk."""

    path: Path

    def fold_path(self, index: int) -> Path:
        return self.path / FOLDS / f"fold-{index:04d}.parquet"

    def weights_path(self, index: int) -> Path:
        return self.path / WEIGHTS / f"fold-{index:04d}.safetensors"

    def record(self) -> dict[str, Any]:
        """What config.json holds; OutputError where there is none, there are several, or it is damaged."""
        require_one_run(self.path)
        try:
            return read_record(self.path / CONFIG, _ANEW)[0]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise OutputError(
                f"{self.path} holds no run: it has no {CONFIG}; give the folder of flowkit-train"
            ) from error

    def write_fold(self, fold: Fold, heads: dict[str, NDArray[np.float32]], about: dict[str, Any]) -> None:
        """Writes one fold's file; raises as `flowkit.output.files.put`."""
        columns: dict[str, Any] = {"row": pa.array(fold.held_out)}
        columns |= {name: pa.array(list(values), pa.list_(pa.float32())) for name, values in heads.items()}
        told = json.dumps({"fold": fold.index, "name": fold.name, **about}, sort_keys=True).encode()
        table = pa.table(columns)
        table = table.replace_schema_metadata({KEY: told, DIGEST_KEY: _digest(table, told)})
        put(self.fold_path(fold.index), lambda path: pq.write_table(table, path, write_page_checksum=True))

    def read_fold(self, fold: Fold) -> FoldFile | None:
        """A finished fold; None where it is not done, or its file is damaged or of another fold."""
        try:
            table = read_table(self.fold_path(fold.index))
            told = table.schema.metadata[KEY]
            # Parquet's own checksums are of its pages alone.
            if table.schema.metadata[DIGEST_KEY] != _digest(table, told):
                return None
            about = json.loads(told)
        except (OutputError, KeyError, TypeError, ValueError):
            return None
        if about.get("name") != fold.name or table["row"].to_pylist() != fold.held_out.tolist():
            return None
        heads = {
            name: np.array(table[name].to_pylist(), dtype=np.float32) for name in table.column_names if name != "row"
        }
        return FoldFile(heads, about)

    def done(self, fold: Fold, *, weights: bool) -> bool:
        """Whether a fold is on disk, with its weights where they are asked for."""
        return (not weights or self.weights_path(fold.index).exists()) and self.read_fold(fold) is not None


def _digest(table: pa.Table, told: bytes) -> bytes:
    """SHA-256 (hex) of a fold's values and of what is said of them."""
    digest = hashlib.sha256(told)
    for name in table.column_names:
        digest.update(f"{name} {table[name].to_pylist()!r}".encode())
    return digest.hexdigest().encode()


def read_summary(run: Path) -> dict[str, Any]:
    """What metrics.json holds; OutputError where it is of another version, OSError or ValueError where it is none."""
    summary: dict[str, Any] = json.loads((run / METRICS).read_text(encoding="utf-8"))
    if not isinstance(summary, dict):
        raise ValueError(f"{METRICS} is no JSON object")
    if (version := summary.get("schema_version")) != SCHEMA_VERSION:
        raise OutputError(
            f"{run / METRICS} has schema version {version}, and {SCHEMA_VERSION} is read; use the version of flowkit "
            "that wrote it, or run flowkit-train loso again"
        )
    return summary


def seeds_in(path: Path) -> list[Path]:
    """The runs that `flowkit-train loso --seeds` has left in a folder, the lowest seed first; [] for another folder."""
    if (path / CONFIG).exists():
        return []
    return [seed for seed in _seed_folders(path) if (seed / CONFIG).exists() or _left_over(seed)]


def _seed_folders(path: Path) -> list[Path]:
    found = [run for run in path.glob("seed-*") if run.name.removeprefix("seed-").isdecimal()]
    return sorted(found, key=lambda run: int(run.name.removeprefix("seed-")))


def require_one_run(path: Path) -> None:
    """OutputError, naming one of them, for the folder of several seeds."""
    if seeds := seeds_in(path):
        raise OutputError(f"{path} holds the runs of {len(seeds)} seeds; give one of them, as {seeds[0]}")


@contextmanager
def held(path: Path) -> Iterator[RunFolder]:
    """Makes the folder of a run and holds it for this process; one that is still empty afterwards goes again.

    Raises OutputError if it cannot be made, or another run is writing to it.
    """
    try:
        make_folder(path)
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made ({error.strerror}); choose another folder") from error
    try:
        _lock(path, handle)
        yield RunFolder(path)
    finally:
        os.close(handle)
        with suppress(OSError):
            path.rmdir()


def settle(path: Path, record: dict[str, Any], *, overwrite: bool) -> None:
    """Writes config.json, or finds that the folder holds this very run, which is gone on with then.

    Args:
        record: what config.json is to hold.
        overwrite: an earlier run of other choices, or with a damaged record, is removed.

    Raises:
        OutputError: if the folder holds results of something else, or a run of other choices.
        Interrupted, OutputError: if it cannot be written, as `flowkit.output.files.unwritten`.
    """
    try:
        require_this_run(path, record)
    except OutputError:
        if not overwrite:
            raise
        clear(path)
    for folder in (path, path / FOLDS, path / WEIGHTS):
        for temporary in folder.glob(f"{TEMPORARY}*"):
            temporary.unlink(missing_ok=True)
    try:
        make_folder(path / FOLDS)
    except OSError as error:
        raise unwritten(path, error) from error
    if not (path / CONFIG).exists():
        put_record(path / CONFIG, record)


def require_this_run(path: Path, record: dict[str, Any]) -> None:
    """OutputError where the folder holds results of something else, or a run of other choices than the record's."""
    if reason := _other_run(path, record):
        raise OutputError(f"{path}: {reason}; {_ANEW}")


def settle_seeds(path: Path, run: Path, record: dict[str, Any], *, overwrite: bool) -> None:
    """Finds that a folder holds runs of the record's choices alone, each of a seed; results of all of them go.

    Args:
        run: one of them, which `settle` looks after.
        overwrite: runs of other choices, and a run of one seed in the folder itself, are removed.

    Raises:
        OutputError: if there are such, or another run is writing to one.
    """
    for other in (path, *(seed for seed in _seed_folders(path) if seed != run)):
        try:
            if other != path:
                _require_like(other, record)
            elif (path / CONFIG).exists():
                raise OutputError(f"{path}: holds a run of one seed; {_ANEW}")
        except OutputError:
            if not overwrite:
                raise
            with held(other):
                clear(other)
    (path / SEEDS).unlink(missing_ok=True)


def _require_like(path: Path, record: dict[str, Any]) -> None:
    """OutputError where the folder holds a run that differs from the record's in more than the seed."""
    if (path / CONFIG).exists():
        reason = _unlike(_without_seed(RunFolder(path).record()), _without_seed(record))
    else:
        reason = _left_over(path)
    if reason:
        raise OutputError(f"{path}: {reason}; {_ANEW}")


def _without_seed(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what the seed decides: itself, shuffled labels and the division into folds."""
    config = {name: value for name, value in record.get("config", {}).items() if name != "seed"}
    samples = record.get("input", {}).get("unshuffled_sha256", record.get("samples_sha256"))
    return {**record, "config": config, "samples_sha256": samples, "folds": None}


def clear(path: Path) -> None:
    """Removes all files of a run from its folder, the record last: a run that has lost some folds is still that run."""
    for name in (*reversed(RESULTS), BESIDE):
        (path / name).unlink(missing_ok=True)
    for name, pattern in ((FOLDS, "fold-[0-9]*"), (WEIGHTS, "fold-[0-9]*"), (TABLES, "*.parquet"), ("grad-cam", "*.*")):
        for file in (path / name).glob(pattern):
            file.unlink(missing_ok=True)
        with suppress(OSError):  # there is none, or it holds something of the user's
            (path / name).rmdir()
    clear_logs(path / TENSORBOARD)
    (path / CONFIG).unlink(missing_ok=True)


def clear_logs(folder: Path) -> None:
    """Removes the logs that a run has left in its folder of TensorBoard, which would read the next ones as theirs."""
    parts = [*folder.glob("fold-[0-9]*"), folder / "scores"]
    for file in (file for part in parts for file in part.glob("events.out.tfevents.*")):
        file.unlink(missing_ok=True)
    for part in (*parts, folder):
        with suppress(OSError):
            part.rmdir()


def _other_run(path: Path, record: dict[str, Any]) -> str | None:
    """Why a folder cannot be gone on with, in a clause; None where it can."""
    return _unlike(RunFolder(path).record(), record) if (path / CONFIG).exists() else _left_over(path)


def _left_over(path: Path) -> str | None:
    """What a folder without a record holds of an earlier run, in a clause; None where that is nothing."""
    present = [name for name in RESULTS if (path / name).exists()]
    present += [name for name in (FOLDS, WEIGHTS) if any((path / name).glob("fold-[0-9]*"))]
    return f"holds {', '.join(present)} of an earlier run" if present else None


def _unlike(earlier: dict[str, Any], record: dict[str, Any]) -> str | None:
    """In which of the parts that decide a fold's numbers an earlier record is another one; None where in none."""
    wanted = json.loads(json.dumps(record))
    for part in _DECIDING:
        if earlier.get(part) != wanted.get(part):
            return f"holds a run with another {_difference(part, earlier.get(part), wanted.get(part))}"
    return None


def _difference(part: str, earlier: Any, wanted: Any) -> str:
    """The first value that differs, by name."""
    if isinstance(earlier, dict) and isinstance(wanted, dict):
        for name in sorted(earlier.keys() | wanted.keys()):
            if earlier.get(name) != wanted.get(name):
                return f"{name} ({earlier.get(name)}, now {wanted.get(name)})"
    return {"samples_sha256": "input (its rows are not the same)", "folds": "division into folds"}.get(part, part)


def _lock(path: Path, handle: int) -> None:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(f"another run is writing to {str(path)!r}; wait for it, or choose another folder") from error
    except OSError:  # as some network file systems do
        return
