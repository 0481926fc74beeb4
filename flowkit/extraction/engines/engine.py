"""What an engine is: it takes parts and a job, and gives each part's commit back as it is done.

An engine only schedules `flowkit.extraction.part.PartRunner`, which writes each part's files itself, so engines cannot
differ in what they compute, only in where, in which order, and in what they survive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from flowkit.errors import Interrupted
from flowkit.extraction.part import Job
from flowkit.extraction.plan import Part
from flowkit.output.commit import Commit

RETRIES = 3
"""How often a part is tried again after a worker died on it."""


class Engine(Protocol):
    """Runs parts, in any order."""

    def run(self, parts: Sequence[Part], job: Job) -> Iterator[Commit]:
        """Yields each part's commit once it is on disk; closing the iterator stops the work at once.

        Raises:
            Interrupted: if the output cannot be written, or a part keeps killing its worker.
        """


def gave_up(part: Part) -> Interrupted:
    """The error for a part whose workers keep dying."""
    clips = list(dict.fromkeys(pair.clip.clip_id for pair in part.pairs))
    named = clips[0] if len(clips) == 1 else f"{clips[0]} to {clips[-1]}"
    return Interrupted(
        f"part {part.number} ({named}) lost its worker process {RETRIES + 1} times, perhaps for want of memory; "
        "run the same command again with fewer --workers"
    )
