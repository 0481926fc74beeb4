"""The survey: each clip's source is opened once, and what was found is all that later stages read of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flowkit.errors import FlowkitError, FrameError, Interrupted
from flowkit.frames import FrameSource, open_source
from flowkit.frames.digest import require_frames
from flowkit.output.store import Place, each, place
from flowkit.types import Clip


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of the frames of one source. Plain data: it can be pickled and read in another process."""

    source: FrameSource | None
    """Numbers, rate, decoder and a video's index, and what reads the frames; None where it could not be opened."""
    frame_size: tuple[int, int] | None
    """(height, width) of the first frame that can be read, px; None where there is none."""
    identity: str
    """The source's `FrameSource.identity`; empty where it could not be opened."""
    error: str | None
    """Why no frame can be read, or None."""

    def opened(self) -> FrameSource:
        """The source; a FrameError where it could not be opened."""
        if self.source is None:
            raise FrameError(self.error or "")
        return self.source


SourceKey = tuple[str, int, str | None]
"""What a survey is of: path, frame_base and frames_sha256 of a clip."""


def source_of(clip: Clip) -> SourceKey:
    """What the clip's survey is of; clips of one source share one."""
    return clip.source, clip.frame_base, clip.frames_sha256


def survey(clips: Iterable[Clip], known: Mapping[SourceKey, Survey] | None = None) -> dict[str, Survey]:
    """The survey of each clip by clip_id, made here where it is not known. Trouble with a source is in its survey.

    Raises as `survey_source`.
    """
    surveys = dict(known or {})
    clips = list(clips)
    stored = [key for key in dict.fromkeys(map(source_of, clips)) if "://" in key[0] and key not in surveys]
    if stored:
        surveys |= zip(stored, each(place(stored[0][0]), lambda key: survey_source(*key), stored), strict=True)
    found: dict[str, Survey] = {}
    for clip in clips:
        key = source_of(clip)
        if key not in surveys:
            surveys[key] = survey_source(*key)
        found[clip.clip_id] = surveys[key]
    return found


def survey_source(path: str | Place, frame_base: int = 0, sha256: str | None = None) -> Survey:
    """The survey of a folder of frames or of a video, whose `frames_sha256` is compared where one is given.

    Raises:
        Interrupted: if it is in an object store that gives no answer.
    """
    try:
        if sha256 is not None:
            require_frames(path, sha256)
        source = open_source(path, frame_base=frame_base)
        identity = source.identity()
    except Interrupted:  # a store that gives no answer says nothing of its clips
        raise
    except FlowkitError as error:
        return Survey(None, None, "", str(error))
    except OSError as error:
        return Survey(None, None, "", f"{path} cannot be read ({error.strerror or error}); make it readable")
    except Exception as error:
        return Survey(None, None, "", _unforeseen(path, error))
    try:
        return Survey(source, source.size(), identity, None)
    except Interrupted:
        raise
    except FlowkitError as error:
        return Survey(source, None, identity, str(error))
    except Exception as error:
        return Survey(source, None, identity, _unforeseen(path, error))


def _unforeseen(path: str | Place, error: Exception) -> str:
    """One clip's trouble of any kind, a bug among them, is its own, and ends no run over the others."""
    return f"{path} cannot be read, unexpectedly ({type(error).__name__}: {error}); report it"
