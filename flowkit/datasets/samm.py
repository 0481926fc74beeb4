"""SAMM (Davison et al. 2018): 159 grey clips of 29 subjects at 200 frames a second."""

from __future__ import annotations

from flowkit.datasets.contract import Dataset, Row

COLUMNS = {
    "subject": ("subject",),
    "filename": ("filename",),
    "inducement": ("inducementcode",),
    "onset": ("onsetframe", "onset"),
    "apex": ("apexframe", "apex"),
    "offset": ("offsetframe", "offset"),
    "duration": ("duration",),
    "au": ("actionunits",),
}


def check_name(row: Row) -> None:
    """A file name begins with its subject: 006_1_2."""
    if row.texts["filename"].split("_")[0] != row.texts["subject"]:
        row.note("filename", f"begins with another subject than {row.texts['subject']}", "both are kept")


SAMM = Dataset(
    name="samm",
    title="SAMM",
    columns=COLUMNS | {"emotion": ("estimatedemotion",)},
    required=("subject", "filename", "onset", "apex", "offset", "emotion", "inducement"),
    subject=("0*([0-9]+)", "{:03d}"),
    folders=("{subject}/{filename}",),
    fps=200.0,
    emotions=frozenset({"anger", "contempt", "disgust", "fear", "happiness", "others", "sadness", "surprise"}),
    published={"rows": (159,), "subjects": (29,)},
    check=check_name,
)
