"""Which parts of a plan a run computes, and which stay as an earlier one has left them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowkit.errors import InputError
from flowkit.extraction.plan import Part
from flowkit.extraction.request import ExtractRequest
from flowkit.output.claim import Share
from flowkit.output.commit import Commit


def parts_of(parts: Sequence[Part], share: Share, limit: int | None) -> list[Part]:
    """The parts that a run computes, if they are not done: those of its share, or the first of them.

    Raises:
        InputError: for a limit of no part.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit={limit}: give at least 1 part")
    return [part for part in parts if share.has(part.number)][:limit]


def that_stay(commits: Mapping[int, Commit], request: ExtractRequest, retry_failed: bool) -> dict[int, Commit]:
    """The committed parts that are not computed again."""
    parameters_hash = request.parameters_hash  # which takes milliseconds, and there may be thousands of commits
    return {
        number: commit
        for number, commit in commits.items()
        if commit.parameters_hash == parameters_hash and not (retry_failed and commit.failed)
    }
