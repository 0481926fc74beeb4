"""SMIC-HS (Li et al. 2013): 164 clips of 16 subjects at 100 frames a second, without apexes or action units."""

from __future__ import annotations

from collections.abc import Mapping

from flowkit.datasets.contract import Dataset, Row
from flowkit.datasets.emotions import emotion_name


def _read(row: Row, _: object) -> None:
    row.expression = "micro"
    row.texts["class"] = emotion_name(row.texts["emotion"])


def _locate(row: Row, names: Mapping[int, str]) -> None:
    """Frames are named by the clock (image17581039): a row's number is such a name, or counts from FirstF.

    What counts from FirstF becomes the number of the file at that place; outside of the folder it stays, and fails.
    Numbers of which one lies between the files' are names; one that is missing fails, and none takes its place.
    """
    wanted = [frame for frame in (row.frames["onset"], row.frames["offset"]) if frame is not None]
    first = row.texts.get("first", "")
    numbers = sorted(names)
    if any(numbers[0] <= frame <= numbers[-1] for frame in wanted) or not first.isdecimal():
        return
    places = {name: frame - int(first) for name in ("onset", "offset") if (frame := row.frames[name]) is not None}
    if all(0 <= place < len(numbers) for place in places.values()):
        for name, place in places.items():
            row.frames[name] = numbers[place]


SMIC = Dataset(
    name="smic",
    title="SMIC-HS",
    columns={
        "subject": ("subject",),
        "filename": ("filename",),
        "onset": ("onsetf", "onset"),
        "offset": ("offsetf", "offset"),
        "emotion": ("emotion",),
        "first": ("firstf",),
    },
    required=("subject", "filename", "onset", "offset", "emotion", "first"),
    subject=("s?0*([0-9]+)", "s{:02d}"),
    folders=("HS/{subject}/micro/{class}/{filename}", "{subject}/micro/{class}/{filename}"),
    fps=100.0,
    emotions=frozenset({"negative", "positive", "surprise"}),
    published={"rows": (164,), "subjects": (16,)},
    notes=(
        "SMIC has no apexes: use --pairs onset-all or lag:K, or flowkit keyframes, which finds them",
        "SMIC has no action units",
    ),
    read=_read,
    locate=_locate,
)
