"""What a study reads: a manifest, for what labels alone decide, or an output of flowkit extract, for motion too."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import InputError
from flowkit.output.parquet import read_schema
from flowkit.output.shard import read
from trainer.types import CLASSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The labels of one clip."""

    clip_id: str
    dataset: str | None
    subject: str | None
    person: str | None
    emotion3: str | None
    ethnicity: str | None
    group: str | None
    au: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Clips in their order; with `cubes`, (n, 3, size, size), one a clip."""

    rows: list[Row]
    cubes: NDArray[np.float32] | None = None


_FIELDS = ("clip_id", "dataset", "subject", "person", "emotion3", "ethnicity", "group", "au")


def read_source(path: Path, size: int = 224, role: str = "onset-apex") -> Source:
    """A manifest (.parquet, .csv), read for its labels alone, or an output folder, read with its cubes of one role.

    Raises:
        InputError: for a manifest that cannot be used, and for an output without a pair of the role, with several
            pairs of it a clip, or with an unknown emotion3.
    """
    if not path.is_dir():
        from flowkit.datasets.manifest import read_manifest

        return Source([_row(dataclasses.asdict(clip)) for clip in read_manifest(path, require_sources=False)])
    from trainer.data import resize

    shards = read(path)
    known = read_schema(shards.paths[0]).names if shards.paths else []
    table = shards.table([name for name in ("role", *_FIELDS) if name in known])
    chosen = [i for i, name in enumerate(table["role"].to_pylist()) if name == role]
    records = [table.slice(i, 1).to_pylist()[0] for i in chosen]
    if not records:
        raise InputError(f"{path}: no pair has the role {role!r}; extract with --pairs onset-apex, or choose --role")
    if len({record["clip_id"] for record in records}) < len(records):
        raise InputError(f"{path}: clips have several {role!r} pairs, and the study takes one a clip; choose --role")
    wanted = set(chosen)
    cubes = [cube for i, cube in enumerate(c for shard in shards.cubes() for c in shard) if i in wanted]
    resized = np.stack([resize(np.asarray(cube, dtype=np.float32), (size, size)) for cube in cubes])
    return Source([_row(record) for record in records], resized)


def _row(record: dict[str, Any]) -> Row:
    if (emotion := record.get("emotion3")) is not None and emotion not in CLASSES:
        raise InputError(
            f"{record['clip_id']}: emotion3={emotion!r} is none of {', '.join(CLASSES)}; "
            "leave it empty in the manifest, and extract again"
        )
    return Row(**{name: record.get(name) for name in _FIELDS})  # type: ignore[arg-type]
