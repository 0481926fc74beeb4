"""The rows that a run trains and tests on, and its control with shuffled labels."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import InputError
from trainer.folds import people
from trainer.normalisation import Cubes
from trainer.types import UNITS

Pictures = NDArray[np.uint8]
LABELS = ("emotion", "clip_id", "pair_id", "dataset", "subject", "group", "person")


@dataclass(frozen=True, slots=True)
class Samples:
    """Rows of the same length n, in the order of the shards. The arrays may be memory-mapped files."""

    cubes: Cubes
    """(n, 3, h, w) float32: u, v in pixels of this grid, strain magnitude."""
    emotion: NDArray[np.int64]
    """(n,) class numbers in the order of CLASSES; -1 where the target is another and none is given."""
    clip_id: Sequence[str]
    pair_id: Sequence[str]
    dataset: Sequence[str | None]
    subject: Sequence[str]
    group: Sequence[str | None]
    """The ethnic label of each row as given in the manifest."""
    person: Sequence[str | None] = ()
    """Who is filmed, as given in the manifest; () where nothing is given."""
    units: NDArray[np.int64] | None = None
    """(n, 12) zeros and ones in the order of UNITS; None where the target is the emotion."""
    rgb: Pictures | None = None
    """(n, 3, h, w) uint8, the apex frames in colour; None where the model reads none."""
    group_column: str | None = None
    """Which manifest column `group` is: "group", or "ethnicity" where no row has a group; None for neither."""
    source: dict[str, Any] = field(default_factory=dict)
    """Where the rows came from and which were left out, as written into config.json."""
    people: tuple[str, ...] = field(init=False)
    """The name of each row's person, by which folds are made; raises as `trainer.folds.people`."""

    def __post_init__(self) -> None:
        n = len(self.cubes)
        object.__setattr__(self, "person", self.person or (None,) * n)
        if self.cubes.ndim != 4 or self.cubes.shape[1] != 3 or self.cubes.dtype != np.float32:
            raise InputError(f"cubes are {self.cubes.dtype} {self.cubes.shape}: must be float32 (n, 3, h, w)")
        for name in LABELS:
            if len(getattr(self, name)) != n:
                raise InputError(f"{len(getattr(self, name))} values of {name} for {n} cubes")
        if self.units is not None and self.units.shape != (n, len(UNITS)):
            raise InputError(f"units are {self.units.shape}: must be ({n}, {len(UNITS)})")
        if self.rgb is not None and (self.rgb.shape[:2] != (n, 3) or self.rgb.dtype != np.uint8):
            raise InputError(f"rgb is {self.rgb.dtype} {self.rgb.shape}: must be uint8 ({n}, 3, h, w)")
        object.__setattr__(self, "people", people(self.person, self.dataset, self.subject))

    def __len__(self) -> int:
        return len(self.cubes)

    @property
    def targets(self) -> NDArray[np.int64]:
        """What is learnt: (n,) emotions, or (n, 12) units where there are such."""
        return self.emotion if self.units is None else self.units

    def require_finite(self) -> None:
        """InputError, naming the clip, for a cube that holds NaN or infinity."""
        for clip, cube in zip(self.clip_id, self.cubes, strict=True):
            if not np.isfinite(cube).all():
                raise InputError(f"{clip}: the cube holds NaN or infinity; extract it again")

    def digest(self) -> str:
        """SHA-256 (hex) of all that a run can depend on: labels and pictures, whatever files hold them."""
        labels = {name: np.asarray(getattr(self, name)).tolist() for name in LABELS}
        labels |= {"units": None if self.units is None else self.units.tolist(), "shape": list(self.cubes.shape)}
        digest = hashlib.sha256(json.dumps(labels, sort_keys=True).encode())
        for array in (self.cubes, self.rgb):
            for row in () if array is None else array:
                digest.update(np.ascontiguousarray(row).tobytes())
        return digest.hexdigest()


def shuffle_labels(samples: Samples, seed: int) -> Samples:
    """The same samples with their targets permuted over the clips: pairs of one clip keep a common one.

    Class counts over clips stay, and `source` says which samples these were. What a model scores on them is what it
    scores without a relation between motion and emotion.
    """
    clips = sorted(set(samples.clip_id))
    first = {clip: i for i, clip in reversed(list(enumerate(samples.clip_id)))}
    order = np.random.default_rng(seed).permutation(len(clips))
    given = {clip: first[clips[other]] for clip, other in zip(clips, order, strict=True)}
    rows = np.array([given[clip] for clip in samples.clip_id])
    units = None if samples.units is None else samples.units[rows]
    source = {**samples.source, "unshuffled_sha256": samples.digest()}
    return dataclasses.replace(samples, emotion=samples.emotion[rows], units=units, source=source)


def ethnic_targets(samples: Samples, rows: NDArray[np.int64]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The ethnic classes of those rows, sorted, and their class numbers, from the labels given in the manifest.

    Rows outside `rows` are not looked at. A row without a label is an InputError that names its clip: labels are the
    user's, never guessed.
    """
    for i in rows:
        if samples.group[i] is None:
            column = samples.group_column or "group or ethnicity"
            raise InputError(
                f"{samples.clip_id[i]}: {column} is missing, which this model learns; give it in the manifest"
            )
    groups = [str(samples.group[i]) for i in rows]
    names = tuple(sorted(set(groups)))
    return names, np.array([names.index(group) for group in groups], dtype=np.int64)
