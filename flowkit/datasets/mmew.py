"""MMEW (Ben et al. 2021): 300 micro-expressions of 30 subjects at 90 frames a second."""

from __future__ import annotations

from flowkit.datasets.contract import Dataset, Row
from flowkit.datasets.emotions import emotion_name


def _read(row: Row, _: object) -> None:
    """The clips called others lie in a folder called repression."""
    row.expression = "micro"
    emotion = emotion_name(row.texts["emotion"])
    row.texts["class"] = "repression" if emotion == "others" else emotion


def _check(row: Row) -> None:
    if row.frames["onset"] not in (None, 1):
        row.note("onset", "clips of MMEW begin with frame 1", "kept as annotated")


MMEW = Dataset(
    name="mmew",
    title="MMEW",
    columns={
        "subject": ("subject",),
        "filename": ("filename",),
        "onset": ("onsetframe",),
        "apex": ("apexframe",),
        "offset": ("offsetframe",),
        "au": ("actionunits",),
        "emotion": ("estimatedemotion",),
        "remarks": ("remarks",),
    },
    required=("subject", "filename", "onset", "apex", "offset", "emotion", "remarks"),
    subject=("S?0*([0-9]+)", "S{:02d}"),
    key="{filename}",
    folders=("Micro_Expression/{class}/{filename}", "{class}/{filename}"),
    fps=90.0,
    emotions=frozenset({"others", "disgust", "happiness", "surprise", "sadness", "fear", "anger"}),
    published={"rows": (300,), "subjects": (30,)},
    read=_read,
    check=_check,
)
