"""4DME (Li et al. 2022): 267 grey clips of micro-expressions that may show several classes at once."""

from __future__ import annotations

from flowkit.datasets.contract import Dataset, Row
from flowkit.datasets.emotions import emotion3_of
from flowkit.datasets.tables import says_nothing

CLASSES = {"positive": "positive", "negative": "negative", "surprise": "surprise", "repression": "negative"}
"""A column each, and the class of three that it belongs to."""
_MARKS = {"1": True, "true": True, "0": False, "false": False, "": False}


def _read(row: Row, _: object) -> None:
    row.expression = "micro"


def _class(row: Row) -> str | None:
    """The class of three that all marked columns agree on; that of the emotion where a repair has set it."""
    if "emotion" in row.repaired:
        return emotion3_of(row.emotion)
    texts = {name: row.texts[name].casefold() for name in (*CLASSES, "others")}
    odd = [name for name, text in texts.items() if text not in _MARKS and not says_nothing(text)]
    for name in odd:
        row.note(name, "neither 0 nor 1", "the clip is in none of the three classes", failed=True)
    if odd:
        return None
    marked = [name for name, text in texts.items() if _MARKS.get(text)]
    classes = {CLASSES.get(name) for name in marked}
    if len(classes) == 1:
        return classes.pop()
    what = f"it is marked as {' and '.join(marked)}" if marked else "no class is marked"
    row.note("emotion", what, "the clip is in none of the three classes", failed=not marked)
    return None


FOUR_DME = Dataset(
    name="4dme",
    title="4DME",
    columns={
        "subject": ("subid",),
        "filename": ("foldname",),
        "onset": ("onset",),
        "apex": ("apex",),
        "offset": ("offset",),
        "au": ("aus",),
        "emotion": ("emotion",),
        **{name: (name,) for name in (*CLASSES, "others")},
    },
    required=("subject", "filename", "onset", "apex", "offset", *CLASSES, "others"),
    subject=("(.+)", "{}"),
    folders=("gray_micro/{subject}/{filename}", "{subject}/{filename}"),
    published={"rows": (267,), "subjects": (42,)},
    notes=("neither its sheet nor its folders say the frame rate: give it by --fps where you know it",),
    read=_read,
    class_of=_class,
)
