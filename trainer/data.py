"""From shards to samples: which rows are used, resizing, normalisation, the targets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.errors import InputError
from flowkit.output.shard import ShardSet, read
from trainer.types import CLASSES, RunConfig

Cubes = NDArray[np.float32]
COLUMNS = ["pair_id", "clip_id", "dataset", "subject", "role", "emotion3", "ethnicity", "group"]


@dataclass(frozen=True, slots=True)
class Samples:
    """The rows that a run trains and tests on, all of the same length n, in the order of the shards."""

    cubes: Cubes
    """(n, 3, h, w) float32: u, v in pixels of this grid, strain magnitude."""
    emotion: NDArray[np.int64]
    """(n,) class numbers in the order of CLASSES."""
    clip_id: Sequence[str]
    pair_id: Sequence[str]
    dataset: Sequence[str | None]
    subject: Sequence[str]
    group: Sequence[str | None]
    """The ethnic label of each row as given in the manifest."""
    group_column: str | None = None
    """Which manifest column `group` is: "group", or "ethnicity" where no row has a group; None for neither."""
    source: dict[str, Any] = field(default_factory=dict)
    """Where the rows came from and which were left out, as written into metrics.json."""

    def __post_init__(self) -> None:
        if self.cubes.ndim != 4 or self.cubes.shape[1] != 3 or self.cubes.dtype != np.float32:
            raise InputError(f"cubes are {self.cubes.dtype} {self.cubes.shape}: must be float32 (n, 3, h, w)")
        for name in ("emotion", "clip_id", "pair_id", "dataset", "subject", "group"):
            if len(getattr(self, name)) != len(self.cubes):
                raise InputError(f"{len(getattr(self, name))} values of {name} for {len(self.cubes)} cubes")
        finite = np.isfinite(self.cubes).all(axis=(1, 2, 3))
        if not finite.all():
            raise InputError(
                f"{self.clip_id[int(np.argmin(finite))]}: the cube holds NaN or infinity; extract it again"
            )

    def __len__(self) -> int:
        return len(self.cubes)


def load(out: Path, config: RunConfig) -> Samples:
    """The samples of an extraction's output: rows of the configured role whose emotion3 is given, resized.

    Raises InputError, naming the clip, for a row without a subject or with an unknown emotion3; InputError where no
    row is left, or where cubes differ in size and no size is asked for.
    """
    rows: list[dict[str, Any]] = []
    cubes: list[Cubes] = []
    roles: dict[str, int] = {}
    sizes: set[tuple[int, ...]] = set()
    shards = read(out)
    for row, cube in _rows(shards):
        roles[row["role"]] = roles.get(row["role"], 0) + 1
        if row["role"] == config.role and row["emotion3"] is not None:
            _check(row)
            rows.append(row)
            sizes.add(cube.shape[1:])
            cubes.append(resize(np.asarray(cube, dtype=np.float32), config.size))
    _require_rows(out, config.role, roles, len(rows))
    extracted = sorted(sizes)
    if len(extracted) > 1 and config.size is None:
        raise InputError(
            f"{out}: cubes are of {len(sizes)} sizes, from {extracted[0]} to {extracted[-1]}; give --size N"
        )
    group, group_column = _groups(rows)
    return Samples(
        cubes=np.stack(cubes),
        emotion=np.array([CLASSES.index(row["emotion3"]) for row in rows], dtype=np.int64),
        clip_id=[row["clip_id"] for row in rows],
        pair_id=[row["pair_id"] for row in rows],
        dataset=[row["dataset"] for row in rows],
        subject=[row["subject"] for row in rows],
        group=group,
        group_column=group_column,
        source={
            **_source(shards, out, roles),
            "without_emotion3": roles[config.role] - len(rows),
            "extracted_sizes": [list(size) for size in extracted],
        },
    )


def _require_rows(out: Path, role: str, roles: dict[str, int], usable: int) -> None:
    if role not in roles:
        available = ", ".join(f"{name} ({count})" for name, count in sorted(roles.items())) or "none"
        raise InputError(f"{out}: no pair has the role {role!r}; there are {available}: choose with --role")
    if not usable:
        raise InputError(f"{out}: none of the {roles[role]} {role} pairs has an emotion3 in its manifest")


def _source(shards: ShardSet, out: Path, roles: dict[str, int]) -> dict[str, Any]:
    """What metrics.json says about the shards."""
    made = {
        key: shards.metadata.get(key) for key in ("parameters_hash", "parameters", "manifest_fingerprint", "versions")
    }
    failed = shards.failures().num_rows
    missing = shards.metadata["plan"]["pairs"] - len(shards) - failed
    return {"shards": str(out), **made, "roles": roles, "failed_pairs": failed, "missing_pairs": missing}


def _rows(shards: ShardSet) -> Iterator[tuple[dict[str, Any], NDArray[Any]]]:
    """Each row's columns with its cube."""
    table = shards.table(COLUMNS).to_pylist()
    cubes = (cube for shard in shards.cubes() for cube in shard)
    return zip(table, cubes, strict=True)


def _check(row: dict[str, Any]) -> None:
    if not row["subject"]:
        raise InputError(f"{row['clip_id']}: subject is missing, and folds are by subject; give it in the manifest")
    if row["emotion3"] not in CLASSES:
        raise InputError(f"{row['clip_id']}: emotion3={row['emotion3']!r} is none of {', '.join(CLASSES)}")


def _groups(rows: Sequence[dict[str, Any]]) -> tuple[list[str | None], str | None]:
    for column in ("group", "ethnicity"):
        values = [row[column] or None for row in rows]
        if any(values):
            return values, column
    return [None] * len(rows), None


def resize(cube: Cubes, size: int | None) -> Cubes:
    """A cube (3, h, w) on a grid of size x size, by area averages down and bilinear interpolation up; None keeps it.

    u is multiplied by size / w and v by size / h, so that flow stays in pixels of its grid. Strain has no dimension and
    keeps its values (those of the source grid, also where the aspect ratio changes).
    """
    height, width = cube.shape[1:]
    if size is None or (height, width) == (size, size):
        return cube
    method = cv2.INTER_AREA if size <= min(height, width) else cv2.INTER_LINEAR
    planes = np.stack([cv2.resize(np.ascontiguousarray(plane), (size, size), interpolation=method) for plane in cube])
    planes[0] *= size / width
    planes[1] *= size / height
    return planes.astype(np.float32, copy=False)


def normalisation(name: str, training: Cubes) -> Callable[[Cubes], Cubes]:
    """The normalisation of cubes (n, 3, h, w) by name, fitted on the training rows of one fold.

    none: as they are. minmax: every channel of every sample to 0..1 (a constant channel to 0); zero motion then has no
    fixed value. signed_global: every channel divided by the 99.9 percentile of its magnitude over `training`, so signs,
    zero and the relative strength of samples stay; values beyond the percentile exceed 1.
    """
    if name == "none":
        return lambda cubes: cubes
    if name == "minmax":
        return _minmax
    if name == "signed_global":
        magnitude = np.abs(training).transpose(1, 0, 2, 3).reshape(3, -1)
        scale = np.percentile(magnitude, 99.9, axis=1).astype(np.float32)
        scale[scale == 0] = 1
        return lambda cubes: cubes / scale[:, None, None]
    raise InputError(f"normalise={name!r} is unknown; choose none, minmax or signed_global")


def _minmax(cubes: Cubes) -> Cubes:
    low = cubes.min(axis=(2, 3), keepdims=True)
    spread = cubes.max(axis=(2, 3), keepdims=True) - low
    scaled: Cubes = (cubes - low) / np.where(spread > 0, spread, np.float32(1))
    return scaled


def shuffle_labels(samples: Samples, seed: int) -> Samples:
    """The same samples with their emotions permuted over the clips: pairs of one clip keep a common emotion.

    Class counts over clips stay. What a model scores on such samples is what it scores without a relation between
    motion and emotion.
    """
    clips = sorted(set(samples.clip_id))
    first = dict(zip(samples.clip_id, samples.emotion, strict=True))
    order = np.random.default_rng(seed).permutation(len(clips))
    given = {clip: first[clips[other]] for clip, other in zip(clips, order, strict=True)}
    emotion = np.array([given[clip] for clip in samples.clip_id], dtype=np.int64)
    return dataclasses.replace(samples, emotion=emotion)


def ethnic_targets(samples: Samples) -> tuple[list[str], NDArray[np.int64]]:
    """The ethnic classes, sorted, and each row's class number (n,), from the labels given in the manifest.

    A row without a label is an InputError that names its clip: labels are the user's, never guessed.
    """
    for clip, group in zip(samples.clip_id, samples.group, strict=True):
        if group is None:
            column = samples.group_column or "group or ethnicity"
            raise InputError(f"{clip}: {column} is missing, which this model learns; give it in the manifest")
    names = sorted({str(group) for group in samples.group})
    return names, np.array([names.index(str(group)) for group in samples.group], dtype=np.int64)
