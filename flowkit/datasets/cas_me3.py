"""CAS(ME)3 (Li et al. 2023): part A, 94 subjects and 860 micro-expressions, and part C, at 30 frames a second."""

from __future__ import annotations

import dataclasses

from flowkit.datasets.contract import Dataset, Row
from flowkit.datasets.tables import says_nothing

CLASSES = frozenset({"I", "II", "III", "IV", "V", "VI", "VII"})
_CALLED = r"CAS[\W_]*ME[\W_]*(3|³|III)[\W_]*"


def _read(row: Row, _: object) -> None:
    row.expression = "micro"


def _check(row: Row) -> None:
    objective = row.texts.get("objective", "")
    if objective and objective not in CLASSES and not says_nothing(objective):
        row.note("objective", "none of the classes I to VII", "kept in annotation_row", failed=True)


CASME3A = Dataset(
    name="casme3a",
    title="CAS(ME)3 part A",
    columns={
        "subject": ("subject",),
        "filename": ("filename",),
        "onset": ("onset",),
        "apex": ("apex",),
        "offset": ("offset",),
        "au": ("au",),
        "objective": ("objectiveclass",),
        "emotion": ("emotion",),
    },
    required=("subject", "filename", "onset", "apex", "offset", "objective", "emotion"),
    subject=(r"(?:spNO\.)?0*([0-9]+)", "spNO.{}"),
    key="{subject}/{filename}/{onset}",
    folders=("part_A/{subject}/{filename}/color", "{subject}/{filename}/color"),
    long_videos=True,
    fps=30.0,
    called=rf"{_CALLED}((part)?[\W_]*A)?",
    missing={"offset": frozenset({"0"})},
    emotions=frozenset({"anger", "disgust", "fear", "happiness", "sadness", "surprise", "others"}),
    published={"rows": (860,), "subjects": (94,)},
    read=_read,
    check=_check,
)
CASME3C = dataclasses.replace(
    CASME3A,
    name="casme3c",
    title="CAS(ME)3 part C",
    folders=("part_C/{subject}/{filename}/color", "{subject}/{filename}/color"),
    called=rf"{_CALLED}((part)?[\W_]*C)?",
    published={},
    notes=("its sheet and folders are read as those of part A",),
)
