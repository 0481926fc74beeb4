"""A model's guess of a label, from several frames of a clip. It is kept apart from labels that were given."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowkit.datasets.revision import Revision
from flowkit.errors import FrameError, InputError
from flowkit.extraction.clip_frames import ClipFrames, FaceCrop, Surveys
from flowkit.extraction.engines.each_clip import each_clip
from flowkit.labels.classifier import Classifier
from flowkit.labels.columns import MODEL
from flowkit.types import Clip


@dataclass(frozen=True, slots=True)
class Guess:
    """What a model says of a clip."""

    label: str
    probabilities: tuple[float, ...]
    """Means over the frames, in the order of the model's labels; sum 1."""
    frames: tuple[int, ...]

    @property
    def probability(self) -> float:
        """Of the label."""
        return max(self.probabilities)


def predict(
    clips: Sequence[Clip],
    classifier: Classifier,
    *,
    frames: int = 5,
    face: FaceCrop | None = None,
    **how: Any,
) -> list[Guess | FrameError]:
    """The guess for each clip, or why there is none: one frame that cannot be read is reason enough.

    Args:
        frames: how many are looked at, spread evenly over onset to offset where these are annotated, else over the
            clip; all of a shorter clip.
        face: the crop, which is then resized to the square that the model takes.
        how: `workers`, `time_limit_s`, `report` as `flowkit.extraction.engines.each_clip`.
    """
    if frames < 1:
        raise InputError(f"frames={frames}: give at least 1")
    do = functools.partial(guess, classifier=classifier, frames=frames, face=face, surveys=Surveys())
    return each_clip(clips, do, **how)


def guess(
    clip: Clip, classifier: Classifier, frames: int, face: FaceCrop | None = None, surveys: Surveys | None = None
) -> Guess:
    """The guess for one clip; a FrameError where frames are missing, or two labels are equally probable."""
    side = classifier.reading.size
    source = ClipFrames(clip, face, (side, side), surveys)
    numbers = spread(clip, source.source.numbers(), frames)
    pictures = np.stack([picture for _, picture in source.read(numbers, colour=True)])
    means = classifier.probabilities(pictures).mean(axis=0)
    labels = classifier.reading.labels
    best = [label for label, mean in zip(labels, means, strict=True) if mean == means.max()]
    if len(best) > 1:
        raise FrameError(f"{' and '.join(best)} are equally probable ({means.max():.3f}); label the clip by hand")
    return Guess(best[0], tuple(float(mean) for mean in means), tuple(numbers))


def spread(clip: Clip, numbers: Sequence[int], count: int) -> list[int]:
    """Up to `count` of the frames, evenly over onset to offset, both included; over all where these are not annotated.

    Raises:
        FrameError: if no frame lies between onset and offset.
    """
    onset = numbers[0] if clip.onset is None else clip.onset
    offset = numbers[-1] if clip.offset is None else clip.offset
    within = [number for number in numbers if onset <= number <= offset]
    if not within:
        raise FrameError(f"no frame lies between onset {onset} and offset {offset}; correct the annotation")
    places = np.linspace(0, len(within) - 1, min(count, len(within)))
    return [within[int(place)] for place in np.rint(places)]


def put_guesses(
    revision: Revision, label: str, guesses: Sequence[Guess | FrameError], classifier: Classifier
) -> list[tuple[str, str]]:
    """Puts the guesses into their own columns of a manifest; the label itself stays as it is.

    Returns:
        clip_id and reason of each clip without a guess.
    """
    good = [one if isinstance(one, Guess) else None for one in guesses]
    names = classifier.reading.labels
    revision.put(f"{label}_guess", [one and one.label for one in good])
    revision.put(f"{label}_guess_probability", [one and one.probability for one in good])
    revision.put(
        f"{label}_guess_probabilities",
        [
            one and ", ".join(f"{name} {p:.4f}" for name, p in zip(names, one.probabilities, strict=True))
            for one in good
        ],
    )
    revision.put(
        f"{label}_guess_source",
        [one and f"{MODEL} of {classifier.source}, frames {' '.join(map(str, one.frames))}" for one in good],
    )
    failures = [
        (clip.clip_id, str(one))
        for clip, one in zip(revision.clips, guesses, strict=True)
        if isinstance(one, FrameError)
    ]
    reasons = dict(failures)
    revision.put(f"{label}_guess_error", [reasons.get(clip.clip_id) for clip in revision.clips])
    return failures
