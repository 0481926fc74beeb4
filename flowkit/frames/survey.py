"""The survey: each clip's source is opened once, and what was found is all that later stages read of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from flowkit.errors import FlowkitError, FrameError, Interrupted
from flowkit.frames import FrameSource, is_video, open_source
from flowkit.output.store import Place, each, is_url
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


class SourceKey(NamedTuple):
    """What a survey is of; clips of one source share one."""

    source: str
    frame_base: int = 0
    sha256: str | None = None

    @property
    def key(self) -> SourceKey:
        """What an order to survey it is known by."""
        return self

    @property
    def is_video(self) -> bool:
        """Whether it is a video by its suffix."""
        return is_video(self.source)


def source_of(clip: Clip) -> SourceKey:
    """What the clip's survey is of."""
    return SourceKey(clip.source, clip.frame_base, clip.frames_sha256)


def survey(clips: Iterable[Clip], known: Mapping[SourceKey, Survey] | None = None) -> dict[str, Survey]:
    """The survey of each clip by clip_id, made here where it is not known. Trouble with a source is in its survey.

    Raises as `survey_source`.
    """
    surveys = dict(known or {})
    clips = list(clips)
    keys = [source_of(clip) for clip in clips]
    left = [key for key in dict.fromkeys(keys) if key not in surveys]
    for stored in (True, False):
        if alike := [key for key in left if is_url(key.source) is stored]:
            surveys |= zip(alike, each(alike[0].source, lambda key: survey_source(*key), alike), strict=True)
    return {clip.clip_id: surveys[key] for clip, key in zip(clips, keys, strict=True)}


def survey_source(source: str | Place, frame_base: int = 0, sha256: str | None = None) -> Survey:
    """The survey of a folder of frames or of a video, whose `frames_sha256` is compared where one is given.

    Raises:
        Interrupted: if it is in an object store that gives no answer.
    """
    try:
        opened = open_source(source, frame_base=frame_base)
        if sha256 is not None and (found := opened.sha256()) != sha256:
            raise FrameError(
                f"the frames in {source} have the SHA-256 {found[:12]}..., the manifest's frames_sha256 is "
                f"{sha256[:12]}...; bring back the frames it was made from, or have flowkit hash write it anew"
            )
        identity = opened.identity()
    except Interrupted:  # a store that gives no answer says nothing of its clips
        raise
    except FlowkitError as error:
        return Survey(None, None, "", str(error))
    except OSError as error:
        return Survey(None, None, "", f"{source} cannot be read ({error.strerror or error}); make it readable")
    except Exception as error:
        return Survey(None, None, "", _unforeseen(source, error))
    try:
        return Survey(opened, opened.size(), identity, None)
    except Interrupted:
        raise
    except FlowkitError as error:
        return Survey(opened, None, identity, str(error))
    except Exception as error:
        return Survey(opened, None, identity, _unforeseen(source, error))


def _unforeseen(source: str | Place, error: Exception) -> str:
    """One clip's trouble of any kind, a bug among them, is its own, and ends no run over the others."""
    return f"{source} cannot be read, unexpectedly ({type(error).__name__}: {error}); report it"
