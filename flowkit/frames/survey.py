"""The survey: each clip's source is opened once, and what was found is all that later stages read of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flowkit.errors import FlowkitError, FrameError
from flowkit.frames import FolderSource, FrameSource, open_source
from flowkit.types import Clip

_SAMPLE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of the frames of one source. Plain data: it can be pickled and read in another process."""

    source: FrameSource | None
    """Numbers, rate, decoder and a video's index, and what reads the frames; None where it could not be opened."""
    frame_size: tuple[int, int] | None
    """(height, width) of the first frame that can be read, px; None where there is none."""
    identity: str
    """Fingerprint of the frames, without their place; empty where the source could not be opened. See `identify`."""
    error: str | None
    """Why no frame can be read, or None."""

    def opened(self) -> FrameSource:
        """The source; a FrameError where it could not be opened."""
        if self.source is None:
            raise FrameError(self.error or "")
        return self.source


def survey(clips: Iterable[Clip]) -> dict[str, Survey]:
    """The survey of each clip by clip_id; clips of one source share one. Trouble with a source is in its survey."""
    known: dict[tuple[str, int], Survey] = {}
    found: dict[str, Survey] = {}
    for clip in clips:
        key = (clip.source, clip.frame_base)
        if key not in known:
            known[key] = survey_source(*key)
        found[clip.clip_id] = known[key]
    return found


def survey_source(path: str | Path, frame_base: int = 0) -> Survey:
    """The survey of a folder of frames or of a video."""
    try:
        source = open_source(path, frame_base=frame_base)
        identity = identify(source)
    except (FlowkitError, OSError) as error:
        return Survey(None, None, "", str(error))
    try:
        return Survey(source, _frame_size(source), identity, None)
    except FlowkitError as error:
        return Survey(source, None, identity, str(error))


def identify(source: FrameSource) -> str:
    """SHA-256 (hex) that tells frames from others put in their place; it survives a move or a copy.

    Of a folder: every frame's name and size, and the content of the first, the middle and the last. Of a video: the
    file's size, and what stands at its beginning, middle and end. A change that keeps all sizes and lies elsewhere (one
    uncompressed frame overwritten by another) goes unnoticed; the whole content is not read, for that takes as long as
    the extraction.
    """
    digest = hashlib.sha256()
    if isinstance(source, FolderSource):
        names = [source.name_of(number) for number in source.numbers()]
        with os.scandir(source.folder) as entries:
            sizes = {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
        for name in names:
            digest.update(f"{name}\0{sizes[name]}\0".encode())
        for name in dict.fromkeys((names[0], names[len(names) // 2], names[-1])):
            digest.update((source.folder / name).read_bytes())
        return digest.hexdigest()
    with Path(source.path).open("rb") as file:  # type: ignore[attr-defined]
        size = os.fstat(file.fileno()).st_size
        digest.update(f"{size}\0".encode())
        for start in _sampled(size):
            file.seek(start)
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def _sampled(size: int) -> Sequence[int]:
    last = max(size - _SAMPLE_BYTES, 0)
    return sorted({0, last // 2, last})


def _frame_size(source: FrameSource) -> tuple[int, int]:
    """The size of the first frame that can be read: one that cannot be shall cost its own pairs only."""
    try:
        return source.size()
    except FrameError as error:
        for _, frame in source.read(source.numbers()):
            if not isinstance(frame, FrameError):
                return frame.shape[0], frame.shape[1]
        raise error
