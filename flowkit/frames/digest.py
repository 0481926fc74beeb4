"""A checksum over all bytes of a clip's frames, to prove that they are those that were annotated."""

from __future__ import annotations

from flowkit.errors import InputError
from flowkit.frames import FolderSource, is_video
from flowkit.frames.fetch import file_sha256
from flowkit.output.store import Place, place


def frames_sha256(source: str | Place) -> str:
    """SHA-256 (hex) of a clip's frames: of a video's bytes, or of what `sha256sum` says of a folder's frames.

    Of a folder it is the SHA-256 of the lines "DIGEST  NAME", each with a line feed, of its frames in order of their
    numbers; other files in there do not count. It survives a move and a copy, and no frame that is changed, renamed,
    added or lost. All bytes are read, which a JPEG needs: it has no checksum of its own. A video need not be one that
    can be decoded.

    Raises:
        InputError: if the source is neither a folder of numbered frames nor a video.
        OSError: if a file cannot be read.
    """
    path = place(source)
    if path.is_dir():
        return FolderSource(path).sha256()
    if not path.is_file() or not is_video(path):  # a pipe would be waited for
        raise InputError(f"{path} is neither a folder of numbered frames nor a video; correct the source")
    return file_sha256(path)
