"""CASME II (Yan et al. 2014): 26 subjects at 200 frames a second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowkit.datasets.contract import FRAMES, Dataset, Row

EMOTIONS = frozenset({"others", "disgust", "happiness", "repression", "surprise", "sadness", "fear"})


def _revision(rows: Sequence[Row], _: Any) -> list[str]:
    """Which of the two revisions it is: they differ in how many apexes are of no use."""
    unusable = 0
    for row in rows:
        onset, apex, offset = (row.frames[name] for name in FRAMES)
        if apex is None or (onset is not None and apex < onset) or (offset is not None and apex > offset):
            unusable += 1
    known = {20: "the revision with 20 such rows", 1: "the revision with one"}
    return [f"apex missing or outside of onset..offset in {unusable} rows: {known.get(unusable, 'no known revision')}"]


CASME2 = Dataset(
    name="casme2",
    title="CASME II",
    columns={
        "subject": ("subject",),
        "filename": ("filename",),
        "onset": ("onsetframe", "onset"),
        "apex": ("apexframe", "apex"),
        "offset": ("offsetframe", "offset"),
        "au": ("actionunits",),
        "emotion": ("estimatedemotion",),
        "inducement": ("inducementcode",),
        "remarks": ("remarks",),
    },
    required=("subject", "filename", "onset", "apex", "offset", "emotion"),
    absent=("inducement", "remarks"),
    subject=("(?:sub)?0*([0-9]+)", "{:02d}"),
    key="sub{subject}/{filename}",
    folders=("sub{subject}/{filename}",),
    fps=200.0,
    called=r"CASME[\s_-]*(2|II)",
    emotions=EMOTIONS,
    published={"rows": (255, 256), "subjects": (26,)},
    conclude=_revision,
)
