"""The survey of an extraction's clips: worker processes open the videos, so that a decoder that crashes or hangs costs
the clips of its file only. Folders of images are looked at in this process: there may be 100,000 of them.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Sequence

from flowkit.cpus import available_cpus
from flowkit.extraction.engines.crew import Crew, Death
from flowkit.extraction.engines.engine import RETRIES, died, too_long
from flowkit.extraction.engines.worker import Brief, Examined
from flowkit.frames.survey import SourceKey, Survey, source_of, survey
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
    videos = [key for key in dict.fromkeys(map(source_of, clips)) if key.is_video]
    processes = min(processes or available_cpus(), available_cpus())
    known = _examined(videos, crew, processes) if videos else {}
    if crew.computes:
        crew.employ(Brief())
    else:
        crew.end()
    return survey(clips, known)


def _examined(keys: Sequence[SourceKey], crew: Crew, processes: int) -> dict[SourceKey, Survey]:
    waiting, deaths = deque(keys), Counter[SourceKey]()
    found: dict[SourceKey, Survey] = {}
    while len(found) < len(keys):
        while len(crew.workers) < min(processes, len(keys) - len(found)):
            if not crew.start():
                break
        with contextlib.suppress(ModuleNotFoundError):  # without PyAV, each video's survey says so
            import flowkit.frames.video  # noqa: F401 - surveys hold its classes; it loads while the workers start
        for worker in crew.idle:
            if waiting:
                worker.give(waiting.popleft())
        for _, heard in crew.hear():
            if isinstance(heard, Examined):
                found[heard.key] = heard.survey
            elif isinstance(heard, Exception):
                raise heard
            elif isinstance(heard, Death):
                for key in heard.tasks:
                    assert isinstance(key, SourceKey)
                    deaths[key] += 1
                    if heard.late or deaths[key] > RETRIES:
                        reason = too_long(crew.limit_s) if heard.late else died(deaths[key], heard.cause)
                        found[key] = Survey(None, None, "", f"{key.source}: {reason}")
                    else:
                        waiting.append(key)
    return found
