"""The survey of an extraction's clips: worker processes open the videos, so that a decoder that crashes or hangs costs
the clips of its file only. Folders of images are looked at in this process: there may be 100,000 of them.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Sequence

from flowkit.extraction.engines.crew import Crew, Death
from flowkit.extraction.engines.engine import RETRIES, died, too_long
from flowkit.extraction.engines.worker import Brief, Examine, Examined
from flowkit.frames import is_regular_video
from flowkit.frames.survey import Survey, source_of, survey
from flowkit.motion.devices import available_cpus
from flowkit.types import Clip


def survey_apart(clips: Sequence[Clip], crew: Crew, processes: int | None) -> dict[str, Survey]:
    """The survey of each clip by clip_id, as `flowkit.frames.survey.survey` gives it; what opening a file does to its
    process, or that it takes longer than the crew's limit, is its survey's error.

    Args:
        crew: keeps the workers that it got, if it goes on to compute.
        processes: that it may have; None for one a CPU, which is the most.

    Raises:
        Interrupted: if there can be no workers.
    """
    videos = [key for key in dict.fromkeys(map(source_of, clips)) if is_regular_video(key[0])]
    processes = min(processes or available_cpus(), available_cpus())
    known = _examined([Examine(*key) for key in videos], crew, processes) if videos else {}
    if crew.computes:
        crew.employ(Brief())
    else:
        crew.end()
    return survey(clips, {(order.path, order.frame_base, order.sha256): found for order, found in known.items()})


def _examined(orders: Sequence[Examine], crew: Crew, processes: int) -> dict[Examine, Survey]:
    waiting, deaths = deque(orders), Counter[Examine]()
    found: dict[Examine, Survey] = {}
    while len(found) < len(orders):
        while len(crew.workers) < min(processes, len(orders) - len(found)):
            if not crew.start():
                break
        with contextlib.suppress(ModuleNotFoundError):  # without PyAV, each video's survey says so
            import flowkit.frames.video  # noqa: F401 - surveys hold its classes; it loads while the workers start
        for worker in crew.idle:
            if waiting:
                worker.give(waiting.popleft())
        for _, heard in crew.hear():
            if isinstance(heard, Examined):
                found[heard.order] = heard.survey
            elif isinstance(heard, Exception):
                raise heard
            elif isinstance(heard, Death):
                for order in heard.tasks:
                    assert isinstance(order, Examine)
                    deaths[order] += 1
                    if heard.late or deaths[order] > RETRIES:
                        reason = too_long(crew.limit_s) if heard.late else died(deaths[order], heard.cause)
                        found[order] = Survey(None, None, "", f"{order.path}: {reason}")
                    else:
                        waiting.append(order)
    return found
