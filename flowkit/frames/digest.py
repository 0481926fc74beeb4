"""A checksum over all bytes of a clip's frames, to prove that they are those that were annotated."""

from __future__ import annotations

import hashlib

from flowkit.errors import FrameError, InputError
from flowkit.frames import is_video
from flowkit.frames.fetch import fetched
from flowkit.frames.folder import FolderSource
from flowkit.output.store import Place, StorePath, place


def frames_sha256(source: str | Place) -> str:
    """SHA-256 (hex) of a clip's frames: of a video's bytes, or of what `sha256sum` says of a folder's frames.

    Of a folder it is the SHA-256 of the lines "DIGEST  NAME", each with a line feed, of its frames in order of their
    numbers; other files in there do not count. It survives a move and a copy, and no frame that is changed, renamed,
    added or lost. All bytes are read, which a JPEG needs: it has no checksum of its own.

    Raises:
        InputError: if the source is neither a folder of numbered frames nor a video.
        OSError: if a file cannot be read.
    """
    path = place(source)
    if not path.is_dir():
        if not path.is_file() or not is_video(path):  # a pipe would be waited for
            raise InputError(f"{path} is neither a folder of numbered frames nor a video; correct the source")
        return _of_file(path)
    frames = FolderSource(path)
    lines = (f"{_of_file(frames.path(number))}  {frames.path(number).name}\n" for number in frames.numbers())
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def require_frames(source: str | Place, expected: str) -> None:
    """A FrameError if the frames are not those that had this `frames_sha256`; raises as that does, too."""
    found = frames_sha256(source)
    if found != expected:
        raise FrameError(
            f"the frames in {source} have the SHA-256 {found[:12]}..., the manifest's frames_sha256 is "
            f"{expected[:12]}...; bring back the frames it was made from, or have flowkit hash write it anew"
        )


def _of_file(path: Place) -> str:
    if isinstance(path, StorePath) and not is_video(path):  # an image, which is not kept here
        return hashlib.sha256(path.read_bytes()).hexdigest()
    with fetched(path) as local, local.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
