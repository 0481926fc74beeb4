"""DFME (Zhao et al. 2023): clips at 200, 300 or 500 frames a second, as each row says, numbered from 0."""

from __future__ import annotations

from flowkit.datasets.contract import Dataset, Row

RATES = frozenset({"200", "300", "500"})


def _read(row: Row, _: object) -> None:
    row.expression = "micro"


def _check(row: Row) -> None:
    rate = row.texts["fps"]
    if rate.replace(".", "").isdecimal() and rate not in RATES:
        row.note("fps", "none of 200, 300 and 500", "kept as annotated")
    if row.texts["filename"].split("_")[0].casefold() != row.texts["subject"]:
        row.note("filename", f"begins with another subject than {row.texts['subject']}", "both are kept")


DFME = Dataset(
    name="dfme",
    title="DFME",
    columns={
        "subject": ("subject",),
        "filename": ("filename",),
        "onset": ("onsetframe",),
        "apex": ("apexframe",),
        "offset": ("offsetframe",),
        "emotion": ("emotion",),
        "emotion_id": ("emotionid",),
        "fps": ("fps",),
        "au": ("au", "aus"),
    },
    required=("subject", "filename", "onset", "apex", "offset", "emotion", "fps"),
    subject=("(?:sub)?0*([0-9]+)", "sub{:04d}"),
    key="{filename}",
    folders=("{filename}",),
    emotions=frozenset({"anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise", "others"}),
    read=_read,
    check=_check,
)
