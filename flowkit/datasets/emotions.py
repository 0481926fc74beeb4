"""From a dataset's own emotion names to the three classes of the MEGC composite (See et al., MEGC 2019)."""

from __future__ import annotations

EMOTION3 = ("negative", "positive", "surprise")

# The second group of each class: adjectives of CAS(ME)3, codes of SMIC.
_CLASS_OF = {
    **dict.fromkeys(("happiness", "happy", "po", "positive"), "positive"),
    **dict.fromkeys(("disgust", "repression", "anger", "contempt", "fear", "sadness"), "negative"),
    **dict.fromkeys(("sad", "ne", "negative"), "negative"),
    **dict.fromkeys(("surprise", "sur"), "surprise"),
}
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
    return None if emotion is None else _CLASS_OF.get(emotion.strip().lower())


def emotion_name(text: str) -> str:
    """One spelling for the names that datasets spell in several: "Other" and "others" are others, "ne" is negative."""
    name = text.strip().lower()
    return _SAME.get(name, name)
