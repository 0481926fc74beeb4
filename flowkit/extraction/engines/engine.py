"""What an engine is: it takes parts and a job, and gives each part's commit back as it is done.

An engine only schedules `flowkit.extraction.part.PartRunner`, which writes each part's files itself, so engines cannot
differ in what they compute, only in where, in which order, and in what they survive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flowkit.extraction.part import Job
    from flowkit.extraction.plan import Part
    from flowkit.output.commit import Commit

RETRIES = 3
"""How often a part or clip is tried again after a worker died on it."""
TIME_LIMIT_S = 1800.0
"""How long a worker may be at one part: some hundred times what the slowest preset takes for a full one."""
THEN = ", and run it with --retry-failed"
"""What helps an extraction in the end, once a clip is mended."""


class Engine(Protocol):
    """Runs parts, in any order."""

    def run(self, parts: Sequence[Part], job: Job) -> Iterator[Commit]:
        """Yields each part's commit once it is on disk; closing the iterator stops the work at once.

        What befalls one clip, the death of workers included, is that clip's rows in the part's failures.

        Raises:
            Interrupted: if the output cannot be written, or there can be no workers.
        """


def died(times: int, cause: str, then: str = THEN) -> str:
    """Why a clip is given up whose workers keep dying."""
    return (
        f"its worker process died {times} times ({cause}), perhaps for want of memory; mend the clip, or give fewer "
        f"--workers{then}"
    )


def too_long(limit_s: float, then: str = THEN) -> str:
    """Why a clip is given up that takes too long."""
    return f"not done within the time limit of {limit_s:g} s; mend the clip, or raise the limit{then}"
