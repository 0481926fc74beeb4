"""The data that flows through flowkit: clips, planned pairs, boxes.

Plain and immutable. Modules further down the pipeline import this one; it imports none of them.

Conventions, once for the whole project: flow (u, v) is in pixels, +u to the right, +v downwards, such that
I0(x, y) ~ I1(x + u, y + v); arrays are (h, w), (n, h, w), (n, 2, h, w); onset, apex and offset are frame numbers as
the source counts them, offset inclusive.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from json.encoder import encode_basestring as _quoted
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One row of a manifest: a clip, where its frames are, and what is annotated. Frame numbers are the source's."""

    clip_id: str
    source: str
    """A folder of frames named by number, or a video file; absolute once a manifest has been read."""
    dataset: str | None = None
    subject: str | None = None
    """The code that the dataset gives a person; datasets use the same codes for different people."""
    person: str | None = None
    """Who is filmed, whatever dataset and subject code: folds are by person. None where nothing says it."""
    fps: float | None = None
    frame_base: int = 0
    """The number of a video's first frame; a folder's frames carry their own numbers."""
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    expression: str | None = None
    """micro or macro, in datasets that have both."""
    emotion: str | None = None
    emotion3: str | None = None
    au: str | None = None
    ethnicity: str | None = None
    group: str | None = None
    age: str | None = None
    gender: str | None = None
    label_source: str | None = None
    """Who says ethnicity, group, age and gender: a column of a file, a person, a model."""
    defects: tuple[str, ...] = ()
    annotation_revision: str | None = None
    """The annotation file's name and the fingerprint of its content."""
    sheet_row: int | None = None
    """The row of the annotation file, counted from 1."""
    annotation_row: str | None = None
    """That row as it was written: a JSON object of column to text."""
    frames_sha256: str | None = None
    """What `flowkit.frames.digest.frames_sha256` has to give; None where the frames are not to be proved."""


def clips_of_columns(columns: Mapping[str, Sequence[Any]], count: int) -> list[Clip]:
    """`Clip(**row)` for each of the rows of these columns, named by its fields; those without one keep their default.

    Field by field, since a frozen class otherwise sets each field of each clip by a call from Python: 100,000 clips
    would take longer to make than to read.
    """
    clips = [Clip.__new__(Clip) for _ in range(count)]
    for field in dataclasses.fields(Clip):
        values = columns.get(field.name, repeat(field.default, count))
        deque(map(Clip.__dict__[field.name].__set__, clips, values), maxlen=0)
    return clips


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One planned flow computation. `error` says why a planned pair cannot be computed; then a frame may be None."""

    clip: Clip
    role: str
    frame0: int | None
    frame1: int | None
    error: str | None = None
    frames0: tuple[int, ...] | None = None
    """The phase: the frames that are averaged in the place of frame0, which is one of them; None for frame0 alone."""
    frames1: tuple[int, ...] | None = None

    @property
    def has_phases(self) -> bool:
        """Whether either side is an average."""
        return self.frames0 is not None or self.frames1 is not None

    def side(self, which: int) -> tuple[int, ...]:
        """The frame numbers that side 0 or 1 is made of, the one that the side is named after first; none where that is
        not known.
        """
        number, phase = (self.frame1, self.frames1) if which else (self.frame0, self.frames0)
        if number is None:
            return ()
        return (number, *(other for other in phase or () if other != number))

    @property
    def needed(self) -> tuple[int, ...]:
        """The frames that computing it takes; none where it cannot be computed."""
        sides = (self.side(0), self.side(1))
        return sides[0] + sides[1] if self.error is None and all(sides) else ()

    @property
    def pair_id(self) -> str:
        """16 hex digits that depend on the clip's id, the role and the frame numbers, and on nothing else."""
        # `fingerprint` of the list of these, written out: plans have millions of pairs.
        frame0, frame1 = ("null" if frame is None else frame for frame in (self.frame0, self.frame1))
        text = f"{_quoted(self.clip.clip_id)},{_quoted(self.role)},{frame0},{frame1}"
        if self.has_phases:
            text += f",{_phase_text(self.frames0)},{_phase_text(self.frames1)}"
        return hashlib.sha256(f"[{text}]".encode()).hexdigest()[:16]


def _phase_text(phase: tuple[int, ...] | None) -> str:
    return "null" if phase is None else f"[{','.join(map(str, phase))}]"


@dataclass(frozen=True, slots=True)
class Box:
    """A face box in source pixels: left and top inclusive, right = left + width and bottom = top + height not."""

    left: int
    top: int
    width: int
    height: int


def fingerprint(value: Any) -> str:
    """SHA-256 (hex) of a value's canonical JSON: equal content, equal fingerprint, on every machine."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


canonical_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
"""A value's JSON in the one form that equal values have; a ValueError for NaN and infinities, which JSON has not."""
