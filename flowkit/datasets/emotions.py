"""From a dataset's own emotion names to the three classes of the MEGC composite (See et al., MEGC 2019)."""

from __future__ import annotations

EMOTION3 = ("negative", "positive", "surprise")

_CLASS_OF = {
    **dict.fromkeys(("happiness", "positive"), "positive"),
    **dict.fromkeys(("disgust", "repression", "anger", "contempt", "fear", "sadness", "negative"), "negative"),
    "surprise": "surprise",
}
KNOWN = (*_CLASS_OF, "others")
"""The names, as `emotion_name` writes them, that have a class, and the one that has none."""
# Adjectives of CAS(ME)3, codes of SMIC.
_SAME = {
    "other": "others",
    "happy": "happiness",
    "sad": "sadness",
    "angry": "anger",
    "ne": "negative",
    "po": "positive",
    "sur": "surprise",
}


def emotion3_of(emotion: str | None) -> str | None:
    """The class of an annotated emotion, whatever its case: positive, negative or surprise.

    "others", an unknown name and None belong to no class: None.
    """
    return None if emotion is None else _CLASS_OF.get(emotion_name(emotion))


def emotion_name(text: str) -> str:
    """One spelling for the names that datasets spell in several: "Other" and "others" are others, "ne" is negative."""
    name = text.strip().lower()
    return _SAME.get(name, name)
