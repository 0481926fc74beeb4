"""Who is filmed in a clip."""

from __future__ import annotations

from flowkit.types import Clip


def filmed_in(clip: Clip) -> str:
    """The person: the manifest's, where it says one, else the subject within its dataset, else the clip alone."""
    if clip.person is not None:
        return clip.person
    if clip.subject is None:
        return clip.clip_id
    return f"{clip.dataset}/{clip.subject}" if clip.dataset else clip.subject
