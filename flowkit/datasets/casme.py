"""CASME (Yan et al. 2013): 189 clips of 19 subjects at 60 frames a second; two columns of apexes."""

from __future__ import annotations

from flowkit.datasets.contract import Dataset

EMOTIONS = frozenset({"contempt", "disgust", "fear", "happiness", "repression", "sadness", "surprise", "tense"})
"""Not checked on the files: the paper says amusement, which is said to be happiness in the sheet."""

CASME = Dataset(
    name="casme",
    title="CASME",
    columns={
        "subject": ("subject",),
        "filename": ("filename",),
        "onset": ("onsetf",),
        "apex": ("apexf1",),
        "apex2": ("apexf2",),
        "offset": ("offsetf",),
        "au": ("actionunits", "au"),
        "emotion": ("estimatedemotion", "emotion"),
    },
    required=("subject", "filename", "onset", "apex", "apex2", "offset"),
    subject=("(?:sub)?0*([0-9]+)", "{:02d}"),
    key="sub{subject}/{filename}",
    folders=("sub{subject}/{filename}",),
    fps=60.0,
    called=r"CASME[\s_-]*(1|I)?",
    emotions=EMOTIONS,
    published={"rows": (189,), "subjects": (19,)},
    notes=("the apex is that of column ApexF1; ApexF2 is in annotation_row",),
)
