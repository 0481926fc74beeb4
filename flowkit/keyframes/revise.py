"""New keyframes into a manifest, beside those that were annotated."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from flowkit.datasets.revision import Revision
from flowkit.errors import FrameError
from flowkit.keyframes.page import Outcome
from flowkit.keyframes.reselect import Reselected, Rule
from flowkit.keyframes.shifts import ROLES, apex_shifts, shifts_between
from flowkit.keyframes.spot import SpotRule, Spotted
from flowkit.types import Clip


def put_reselected(revision: Revision, results: Sequence[Reselected | FrameError], rule: Rule) -> Outcome:
    """Puts the results of `reselect`, one a clip, into a manifest; clips that failed keep their frames."""
    before = list(revision.clips)
    after = [
        old
        if isinstance(new, FrameError)
        else dataclasses.replace(old, onset=new.onset, apex=new.apex, offset=new.offset)
        for old, new in zip(before, results, strict=True)
    ]
    _put(revision, after, results, rule.text)
    allowed = [None if isinstance(result, FrameError) else result.allowed for result in results]
    return Outcome(
        rule=rule.text,
        source=revision.source.name,
        before=before,
        after=after,
        shifts=shifts_between(before, after, allowed),
        failures=_failures(before, results),
        unsearched=sum(limits == (0, 0) for limits in allowed),
    )


def put_spotted(revision: Revision, results: Sequence[Spotted | FrameError | None], rule: SpotRule) -> Outcome:
    """Puts the results of `spot` into a manifest, with the ends that it took; None for a clip that was left alone."""
    before = list(revision.clips)
    after = [
        dataclasses.replace(old, onset=new.onset, apex=new.apex, offset=new.offset) if isinstance(new, Spotted) else old
        for old, new in zip(before, results, strict=True)
    ]
    _put(revision, after, results, rule.text)
    known = revision.column("apex_confidence")
    revision.put(
        "apex_confidence",
        [new.confidence if isinstance(new, Spotted) else old for old, new in zip(known, results, strict=True)],
    )
    return Outcome(
        rule=rule.text,
        source=revision.source.name,
        before=before,
        after=after,
        shifts=apex_shifts(
            *(
                [clip for clip, new in zip(clips, results, strict=True) if isinstance(new, Spotted)]
                for clips in (before, after)
            )
        ),
        failures=_failures(before, results),
        unsearched=0,
    )


def _put(
    revision: Revision, after: Sequence[Clip], results: Sequence[Reselected | Spotted | FrameError | None], how: str
) -> None:
    """The new frames, the annotated ones beside them, and by which rule; what an earlier revision kept stays."""
    sources = revision.texts("keyframes_source")
    for role in ROLES:
        kept = revision.column(f"{role}_annotated")
        old = revision.column(role)
        revision.put(
            f"{role}_annotated",
            [kept[i] if sources[i] else old[i] for i in range(len(after))],
        )
        revision.put(role, [getattr(clip, role) for clip in after])
    done = [isinstance(result, (Reselected, Spotted)) for result in results]
    revision.put(
        "keyframes_source",
        [
            f"{source}; {how}" if source and new else how if new else source
            for source, new in zip(sources, done, strict=True)
        ],
    )
    errors = revision.texts("keyframes_error")
    revision.put(
        "keyframes_error",
        [
            str(result) if isinstance(result, FrameError) else error if result is None else None
            for error, result in zip(errors, results, strict=True)
        ],
    )


def _failures(
    clips: Sequence[Clip], results: Sequence[Reselected | Spotted | FrameError | None]
) -> list[tuple[str, str]]:
    return [
        (clip.clip_id, str(result).removeprefix(f"{clip.clip_id}: "))
        for clip, result in zip(clips, results, strict=True)
        if isinstance(result, FrameError)
    ]
