"""From shards to samples: which rows are used, resizing, the targets.

Cubes are read a shard at a time, resized, and written into one array, which may be a file (trainer/store.py) that all
processes of a run map into memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flowkit.errors import InputError
from flowkit.output.parquet import read_schema
from flowkit.output.shard import ShardSet, as_numpy, read
from trainer.catalogue import find
from trainer.normalisation import Cubes
from trainer.samples import Pictures, Samples
from trainer.types import CLASSES, UNITS, RunConfig

COLUMNS = ("pair_id", "clip_id", "dataset", "subject", "role", "emotion3", "au", "ethnicity", "group", "person")
RGB = "apex_rgb"
Allocate = Callable[[str, tuple[int, ...], Any], NDArray[Any]]
"""Gives a zeroed array for a name ("cubes" or "rgb"), a shape and a type."""


def load(out: Path, config: RunConfig, allocate: Allocate | None = None) -> Samples:
    """The samples of an extraction's output: rows of the configured role whose target is given, resized.

    Args:
        allocate: makes the arrays; by default they are in memory.

    Raises:
        InputError: naming the clip, for a row without a subject, with an unknown emotion3, with a cube that is not
            finite, or without the picture that the model reads; where no row is left, or where cubes differ in size and
            no size is asked for.
    """
    shards = read(out)
    table = [_row(row) for row in _label_table(shards)]
    chosen = _chosen(out, table, config)
    rows = [table[i] for i in chosen]
    sizes = _sizes(shards, chosen)
    if len(sizes) > 1 and config.input_size is None:
        raise InputError(f"{out}: cubes are of {len(sizes)} sizes, from {sizes[0]} to {sizes[-1]}; give --size N")
    side = config.input_size
    cubes, rgb = _pictures(shards, chosen, (side, side) if side else sizes[0], config, allocate or _in_memory)
    group, group_column = _groups(rows)
    samples = Samples(
        cubes=cubes,
        rgb=rgb,
        emotion=np.array([CLASSES.index(row["emotion3"]) if row["emotion3"] else -1 for row in rows], dtype=np.int64),
        units=_units(rows, "substring-aus" in config.slips) if config.target == "au12" else None,
        **{name: [row[name] for row in rows] for name in ("clip_id", "pair_id", "dataset", "subject", "person")},
        group=group,
        group_column=group_column,
        source=_source(shards, out, table, config, len(rows), sizes),
    )
    samples.require_finite()
    return samples


def _label_table(shards: ShardSet) -> list[dict[str, Any]]:
    """Every row's labels; columns that shards of an older schema lack are null."""
    there = set(read_schema(shards.paths[0]).names) if shards.paths else set(COLUMNS)
    rows: list[dict[str, Any]] = shards.table([name for name in COLUMNS if name in there]).to_pylist()
    return rows


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {"person": None, **row}


def _chosen(out: Path, table: Sequence[dict[str, Any]], config: RunConfig) -> list[int]:
    """The numbers of the rows that are used."""
    column = "au" if config.target == "au12" else "emotion3"
    roles = _roles(table)
    if config.role not in roles:
        available = ", ".join(f"{name} ({count})" for name, count in roles.items()) or "none"
        raise InputError(f"{out}: no pair has the role {config.role!r}; there are {available}: choose with --role")
    datasets = sorted({row["dataset"] or "unnamed" for row in table})
    for name in config.datasets or ():
        if name not in datasets:
            raise InputError(f"{out}: has no dataset {name!r}; there are {', '.join(datasets)}")
    chosen = [
        i
        for i, row in enumerate(table)
        if row["role"] == config.role
        and row[column] is not None
        and (config.datasets is None or (row["dataset"] or "unnamed") in config.datasets)
    ]
    if not chosen:
        raise InputError(f"{out}: none of the {roles[config.role]} {config.role} pairs has an {column} in its manifest")
    for i in chosen:
        _check(table[i])
    shown = {table[i]["emotion3"] for i in chosen}
    if config.target == "emotion3" and len(shown) < 2:
        raise InputError(
            f"{out}: all {len(chosen)} rows show one class ({shown.pop()}), so nothing can be told apart; give others"
        )
    return chosen


def _check(row: dict[str, Any]) -> None:
    if not row["subject"] and not row["person"]:
        raise InputError(f"{row['clip_id']}: subject is missing, and folds are by person; give it in the manifest")
    if row["emotion3"] is not None and row["emotion3"] not in CLASSES:
        raise InputError(f"{row['clip_id']}: emotion3={row['emotion3']!r} is none of {', '.join(CLASSES)}")


def _roles(table: Sequence[dict[str, Any]]) -> dict[str, int]:
    roles: dict[str, int] = {}
    for row in table:
        roles[row["role"]] = roles.get(row["role"], 0) + 1
    return dict(sorted(roles.items()))


def _source(
    shards: ShardSet,
    out: Path,
    table: Sequence[dict[str, Any]],
    config: RunConfig,
    used: int,
    sizes: Sequence[tuple[int, ...]],
) -> dict[str, Any]:
    """What config.json says about the shards."""
    made = {
        key: shards.metadata.get(key) for key in ("parameters_hash", "parameters", "manifest_fingerprint", "versions")
    }
    failed = shards.failures().num_rows
    roles = _roles(table)
    of_role = [row for row in table if row["role"] == config.role]
    other = [row for row in of_role if config.datasets and (row["dataset"] or "unnamed") not in config.datasets]
    return {
        "shards": str(shards.folder.absolute() if isinstance(shards.folder, Path) else shards.folder),
        **made,
        "roles": roles,
        "failed_pairs": failed,
        "missing_pairs": shards.metadata["plan"]["pairs"] - len(shards) - failed,
        "without_emotion3": len(of_role) - len(other) - used,
        "of_other_datasets": len(other),
        "extracted_sizes": [list(size) for size in sizes],
    }


def _sizes(shards: ShardSet, chosen: Sequence[int]) -> list[tuple[int, ...]]:
    """The sizes of the chosen rows' cubes, ascending, from the files' footers."""
    used, sizes, first = set(chosen), set(), 0
    computed = [commit.computed for commit in shards.commits if commit.computed]
    for path, count in zip(shards.paths, computed, strict=True):
        if any(i in used for i in range(first, first + count)):
            sizes.add(tuple(read_schema(path).field("cube").type.shape[1:]))
        first += count
    return sorted(sizes)


def _pictures(
    shards: ShardSet, chosen: Sequence[int], size: tuple[int, ...], config: RunConfig, allocate: Allocate
) -> tuple[Cubes, Pictures | None]:
    """The chosen rows' cubes, and apex frames where the model reads such, at training size."""
    cubes: Cubes = allocate("cubes", (len(chosen), 3, *size), np.float32)
    wants_rgb = find(config.model).rgb
    rgb: Pictures | None = allocate("rgb", (len(chosen), 3, *size), np.uint8) if wants_rgb else None
    place = {row: i for i, row in enumerate(chosen)}
    for row, clip, cube, picture in _stored(shards, wants_rgb):
        if (i := place.get(row)) is None:
            continue
        cube = np.asarray(cube, dtype=np.float32)
        if "swapped-strain-axes" in config.slips:
            cube = np.stack([*cube[:2], strain_of(cube[:2], swapped=True)])
        cubes[i] = resize(cube, size)
        if rgb is not None:
            if picture is None:
                raise InputError(f"{clip}: has no apex frame in colour, which {config.model} reads; extract with --rgb")
            rgb[i] = resize_rgb(picture, size)
    return cubes, rgb


def _stored(shards: ShardSet, rgb: bool) -> Iterator[tuple[int, str, NDArray[Any], Pictures | None]]:
    """Each row's number, clip, cube and apex frame, a shard in memory at a time."""
    row = 0
    for i, path in enumerate(shards.paths):
        there = rgb and RGB in read_schema(path).names
        table = shards.shard(i, ["clip_id", "cube", *([RGB] if there else [])])
        pictures: Sequence[Pictures | None] = (
            [value if value is None else np.asarray(value) for value in _tensors(table[RGB])]
            if there
            else [None] * table.num_rows
        )
        for clip, cube, picture in zip(table["clip_id"].to_pylist(), as_numpy(table["cube"]), pictures, strict=True):
            yield row, clip, cube, picture
            row += 1


def _tensors(column: Any) -> list[Pictures | None]:
    """The values of a column of tensors that may be null."""
    if pa.types.is_null(column.type):  # a shard that was extracted without --rgb
        return [None] * len(column)
    shape = column.type.shape
    return [
        None if not value.is_valid else np.asarray(value.value.values, dtype=np.uint8).reshape(shape)
        for chunk in column.chunks
        for value in chunk
    ]


def _units(rows: Sequence[dict[str, Any]], substring: bool) -> NDArray[np.int64]:
    from flowkit.datasets.action_units import parse_units

    def shown(text: str) -> list[bool]:
        if substring:
            return [str(unit) in text for unit in UNITS]
        numbers = parse_units(text).numbers()
        return [unit in numbers for unit in UNITS]

    found = np.array([shown(row["au"]) for row in rows], dtype=np.int64)
    if not found.any():
        units = ", ".join(map(str, UNITS))
        raise InputError(f"none of {len(rows)} rows shows one of the units {units}: nothing is told apart; give others")
    return found


def strain_of(
    flow: NDArray[np.float32], *, swapped: bool = False, pixel: Sequence[float] = (1.0, 1.0)
) -> NDArray[np.float32]:
    """Strain magnitude (h, w) of a flow (2, h, w), by central differences.

    Args:
        swapped: of gradients along wrong axes.
        pixel: height and width of a pixel in the unit of the flow.
    """
    (uy, ux), (vy, vx) = (np.gradient(plane, *pixel) for plane in flow)
    if swapped:
        ux, uy, vx, vy = uy, ux, vy, vx
    strain: NDArray[np.float32] = np.sqrt(ux**2 + vy**2 + (uy + vx) ** 2 / 2).astype(np.float32)
    return strain


def _groups(rows: Sequence[dict[str, Any]]) -> tuple[list[str | None], str | None]:
    for column in ("group", "ethnicity"):
        values = [row[column] or None for row in rows]
        if any(values):
            return values, column
    return [None] * len(rows), None


def resize(cube: Cubes, size: tuple[int, ...]) -> Cubes:
    """A cube (3, h, w) on a grid of (height, width), by area averages down and bilinear interpolation up.

    u is multiplied by width / w and v by height / h, so that flow stays in pixels of its grid. Strain has no dimension
    and keeps its values (those of the source grid, also where the aspect ratio changes).
    """
    old = cube.shape[1:]
    if old == tuple(size):
        return cube
    planes = _resized(cube, size)
    planes[0] *= size[1] / old[1]
    planes[1] *= size[0] / old[0]
    return planes.astype(np.float32, copy=False)


def resize_rgb(picture: Pictures, size: tuple[int, ...]) -> Pictures:
    """A picture (3, h, w) uint8 at (height, width), by the same rule."""
    return picture if picture.shape[1:] == tuple(size) else _resized(picture, size)


def _resized(planes: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    method = cv2.INTER_AREA if max(size) <= min(planes.shape[1:]) else cv2.INTER_LINEAR
    return np.stack([cv2.resize(np.ascontiguousarray(p), (size[1], size[0]), interpolation=method) for p in planes])


def _in_memory(name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    return np.zeros(shape, dtype=dtype)
