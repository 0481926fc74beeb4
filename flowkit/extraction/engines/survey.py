"""What is done before parts are planned: worker processes open the videos and look for the clips' faces, so that a
decoder that crashes or hangs costs the clips of its file only. Folders of images are listed in this process: there may
be 100,000 of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from flowkit.cpus import available_cpus
from flowkit.errors import FlowkitError
from flowkit.extraction.engines.crew import Crew
from flowkit.extraction.engines.dispatch import dispatch
from flowkit.extraction.engines.worker import Examined, Look, Looked
from flowkit.extraction.pairs import plan_pairs
from flowkit.extraction.plans import parse_plan
from flowkit.extraction.request import ExtractRequest
from flowkit.faces.face import Face
from flowkit.faces.finding import DetectedFaces, FaceCrop, FoundFaces, first_frame, parse_face
from flowkit.frames.survey import SourceKey, Survey, source_of, survey
from flowkit.types import Clip

_Order = TypeVar("_Order", SourceKey, Look)
_Answer = TypeVar("_Answer", Examined, Looked)


@dataclass(frozen=True, slots=True)
class Surveyor:
    """Has worker processes look at clips.

    What that does to a process, or that it takes longer than the crew's limit, is the error of the clips alone.
    """

    crew: Crew
    """Keeps the workers that it got, if it goes on to compute."""
    processes: int | None = None
    """That it may have; None for one a CPU, which is the most."""

    def survey(self, clips: Sequence[Clip]) -> dict[str, Survey]:
        """The survey of each clip by clip_id, as `flowkit.frames.survey.survey` gives it.

        Raises:
            Interrupted: if there can be no workers, or an object store gives no answer.
        """
        videos = list(dict.fromkeys(key for key in map(source_of, clips) if key.is_video))

        def give_up(key: SourceKey, reason: str) -> Examined:
            return Examined(key, Survey(None, None, "", f"{key.source}: {reason}"))

        return survey(clips, {key: found.survey for key, found in self._asked(videos, give_up).items()})

    def faces(
        self, clips: Sequence[Clip], surveys: Mapping[str, Survey], request: ExtractRequest
    ) -> tuple[FaceCrop, dict[str, Survey]]:
        """What gives the faces of the clips that have pairs to compute; those that a detector finds are found here.

        And the surveys: a clip whose look was given up is one whose frames could not be read, which can be mended.

        Raises:
            Interrupted: as `survey`.
        """
        crop, surveys = parse_face(request.face), dict(surveys)
        if not isinstance(crop, DetectedFaces):
            return crop, surveys
        plan = parse_plan(request.pairs)
        found: dict[str, Face | str] = {}
        looks: list[Look] = []
        for clip in clips:
            survey = surveys[clip.clip_id]
            if survey.frame_size is None or all(pair.error for pair in plan_pairs(clip, plan, survey)):
                continue
            try:
                looks.append(Look(clip.clip_id, request.face, *first_frame(clip, survey)))
            except FlowkitError as error:
                found[clip.clip_id] = str(error)

        def give_up(look: Look, reason: str) -> Looked:
            return Looked(look.key, f"its face was looked for in frame {look.number}: {reason}", final=False)

        for clip_id, looked in self._asked(looks, give_up).items():
            found[clip_id] = looked.face
            if not looked.final:
                surveys[clip_id] = replace(surveys[clip_id], frame_size=None, error=str(looked.face))
        return FoundFaces(crop, found), surveys

    def _asked(self, orders: Sequence[_Order], give_up: Callable[[_Order, str], _Answer]) -> dict[Any, _Answer]:
        """The answers by key; what is given up, after deaths or for the time limit, has one of `give_up`."""
        if not orders:
            return {}
        processes = min(self.processes or available_cpus(), available_cpus())
        self.crew.enlist(min(processes, len(orders)))
        with contextlib.suppress(ModuleNotFoundError):  # without PyAV, each video's survey says so
            import flowkit.frames.video  # noqa: F401 - surveys hold its classes; it loads while the workers start
        found = dispatch(self.crew, orders, give_up, processes)
        if self.crew.computes:
            self.crew.prepare()
        else:
            self.crew.end()
        return found
