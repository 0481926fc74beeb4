"""Emotions as datasets name them, in three classes."""

from flowkit.datasets import emotion3_of


def test_emotions_fall_into_three_classes_or_none():
    assert {name: emotion3_of(name) for name in ("happiness", " Surprise", "Repression", "contempt", "sadness")} == {
        "happiness": "positive",
        " Surprise": "surprise",
        "Repression": "negative",
        "contempt": "negative",
        "sadness": "negative",
    }
    assert [emotion3_of(name) for name in ("ne", "po", "sur")] == ["negative", "positive", "surprise"]
    assert [emotion3_of(name) for name in ("angry", "Sad", "happy")] == ["negative", "negative", "positive"]
    assert [emotion3_of(name) for name in ("others", "Other", "unhappiness", "", None)] == [None] * 5
