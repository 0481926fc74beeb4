"""Which parts of a plan a run computes, with what reading their frames takes, and which stay as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping, Sequence

from flowkit.errors import InputError, whole
from flowkit.extraction.plan import Part
from flowkit.extraction.request import ExtractRequest
from flowkit.frames import FrameSource
from flowkit.frames.survey import Survey
from flowkit.output.claim import Share
from flowkit.output.commit import Commit

_SPREAD = 16
"""Frames between the first and the last that a part needs of a source, a needed one, up to which clips share it."""


def parts_of(parts: Sequence[Part], share: Share, limit: int | None) -> list[Part]:
    """The parts that a run computes, if they are not done: those of its share, or the first of them.

    Raises:
        InputError: for a limit of no part.
    """
    if limit is not None and whole("limit", limit) < 1:
        raise InputError(f"limit={limit}: give at least 1 part")
    return [*parts[share.stretch(len(parts))][:limit]]


def that_stay(commits: Mapping[int, Commit], request: ExtractRequest, retry_failed: bool) -> dict[int, Commit]:
    """The committed parts that are not computed again."""
    parameters_hash = request.parameters_hash  # which takes milliseconds, and there may be thousands of commits
    return {
        number: commit
        for number, commit in commits.items()
        if commit.parameters_hash == parameters_hash and not (retry_failed and commit.failed)
    }


def to_do(parts: Sequence[Part], done: Container[int]) -> list[Part]:
    """Those of the parts that a run computes, and of which it says how much there is to write."""
    return [part for part in parts if part.number not in done]


def with_sources(part: Part, surveys: Mapping[str, Survey]) -> Part:
    """The part with what reading its frames takes; a plan has many parts that are done, and need none."""
    needed: dict[str, set[int]] = {clip_id: set() for clip_id in part.framings}
    for pair in part.pairs:
        if numbers := pair.needed:
            needed[pair.clip.clip_id].update(numbers)
    by_source: dict[int, list[str]] = {}
    for clip_id in needed:
        by_source.setdefault(id(surveys[clip_id].source), []).append(clip_id)
    sources: dict[str, FrameSource] = {}
    for clip_ids in by_source.values():
        together = set().union(*(needed[clip_id] for clip_id in clip_ids))
        # Clips of one source share one, unless they lie so far apart that what lies between would be carried along.
        if together and max(together) - min(together) <= _SPREAD * len(together):
            sources |= dict.fromkeys(clip_ids, surveys[clip_ids[0]].opened().only(together))
        else:
            sources |= {clip_id: surveys[clip_id].opened().only(needed[clip_id]) for clip_id in clip_ids}
    return dataclasses.replace(part, sources=sources)
