"""What a video file says that it holds, beside what it does hold: how a file that was cut off is told from a whole one.

A header, written when the file was finished, has the number of frames, the duration or the size of what follows. Files
without such a word (MPEG streams) are cut where their last packet is; a cut between two packets cannot be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from av.container import InputContainer
from av.stream import Stream

COUNTED = {"avi", "ivf"}
"""Containers whose header has the number of frames, each of which is shown or was dropped."""
TIMED = {"matroska", "flv", "mxf"}
"""Containers whose header has a duration that is not merely estimated from what is there."""
_SLACK_S = 0.1
"""Of a duration, since the last frame of some writers, or the sound, ends a little later than its packets say."""
_TAIL_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Held:
    """What was found in a file: the video's frames and intervals, and where all streams end."""

    frames: int
    """Those that an AVI has dropped are counted, for they have a place in it; those that an edit list hides are not."""
    end_s: float
    """Of the last packet of any stream."""
    interval_s: float
    """The median, between two frames; 0 where stamps say nothing."""
    longest_s: float


def frames_missing(container: InputContainer, stream: Stream, held: Held, path: str) -> int:
    """How many frames a file promises beyond those that it holds, at least; 0 where it keeps its word."""
    format_ = container.format.name.split(",")[0]
    cut = is_cut(path, format_)
    missing = 0
    if format_ == "mov":  # its header counts those, too, that an edit list hides: a whole one may hold fewer
        missing = _promised_by_edits(stream) - held.frames if cut else 0
    elif format_ in COUNTED and stream.frames:
        missing = stream.frames - held.frames
    elif format_ in TIMED and held.interval_s:
        short_s = _promised_s(container, stream) - held.end_s
        # The last picture of a varying rate may be shown for longer than any before it.
        if short_s > max(_SLACK_S, 2 * held.longest_s):
            missing = max(round(short_s / held.interval_s), 1)
    return missing if missing > 0 else int(cut)


def _promised_by_edits(stream: Stream) -> int:
    """The frames of an MP4's track that its edit list shows: by its duration where it is shorter than the track."""
    rate, tick_s = stream.average_rate, stream.time_base  # a mean over the whole track
    shown = round(stream.duration * tick_s * rate) if stream.duration and tick_s and rate else stream.frames
    return min(stream.frames, shown)


def _promised_s(container: InputContainer, stream: Stream) -> float:
    if container.format.name.startswith("mxf"):
        return float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    return container.duration / 1e6 if container.duration else 0.0


def is_cut(path: str, format_: str) -> bool:
    """Whether a file is shorter than its own structure says; False for containers whose structure is not known here."""
    end = _ENDS.get(format_)
    size = Path(path).stat().st_size
    if end is None:
        return False
    with Path(path).open("rb") as file:
        return end(file, size) > size


def _riff_end(file: BinaryIO, size: int) -> int:
    end = 0
    while end + 12 <= size:  # a large AVI is several of them
        file.seek(end)
        head = file.read(8)
        length = int.from_bytes(head[4:], "little")
        if head[:4] != b"RIFF" or length in (0, 0xFFFFFFFF):
            break
        end += 8 + length + length % 2
    return end - (end == size + 1)  # some writers leave the last padding byte out


def _boxes_end(file: BinaryIO, size: int) -> int:
    end = 0
    while end + 8 <= size:
        file.seek(end)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if length < 8 or not head[4:8].isalnum():  # 0: to the end of the file; else something that was appended
            break
        end += length
    return end


def _ebml_end(file: BinaryIO, size: int) -> int:
    end = 0
    while end + 12 <= size:
        file.seek(end)
        head = file.read(12)
        id_bytes = 9 - head[0].bit_length()
        size_bytes = 9 - head[id_bytes].bit_length() if id_bytes <= 4 else 9
        if size_bytes > 8:
            break
        raw = int.from_bytes(head[id_bytes : id_bytes + size_bytes].ljust(size_bytes, b"\0"), "big")
        length = raw & ((1 << 7 * size_bytes) - 1)
        if length == (1 << 7 * size_bytes) - 1:  # a live recording: it does not know
            break
        end += id_bytes + size_bytes + length
    return end


_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def _asf_end(file: BinaryIO, size: int) -> int:
    head = file.read(1 << 16)
    place = head.find(_ASF_FILE_PROPERTIES)
    flags = int.from_bytes(head[place + 88 : place + 92], "little")
    if place < 0 or flags & 1:  # a live recording: it does not know
        return 0
    return int.from_bytes(head[place + 40 : place + 48], "little")


def _program_stream_end(file: BinaryIO, size: int) -> int:
    """Where the packets behind the last pack header end."""
    start = max(size - _TAIL_BYTES, 0)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"\x00\x00\x01\xba")
    if at < 0 or at + 14 > len(tail):
        return size + (at >= 0)
    at += 14 + (tail[at + 13] & 7) if tail[at + 4] >> 6 == 1 else 12  # MPEG-2, MPEG-1
    while at + 6 <= len(tail) and tail[at : at + 3] == b"\x00\x00\x01" and tail[at + 3] >= 0xBB:
        at += 6 + int.from_bytes(tail[at + 4 : at + 6], "big")
    return start + at


def _transport_stream_end(file: BinaryIO, size: int) -> int:
    head = file.read(197)
    packet = 188 if head[:1] == head[188:189] == b"G" else 192 if head[4:5] == head[196:197] == b"G" else 1
    return -(-size // packet) * packet


def _ogg_end(file: BinaryIO, size: int) -> int:
    file.seek(max(size - _TAIL_BYTES, 0))
    tail = file.read()
    at = tail.rfind(b"OggS")
    if at < 0 or at + 27 > len(tail):
        return size + 1
    segments = tail[at + 26]
    end = at + 27 + segments + sum(tail[at + 27 : at + 27 + segments])
    whole = end <= len(tail) and tail[at + 5] & 4  # the page says that it is its stream's last one
    return size if whole else size + 1


_ENDS: dict[str, Callable[[BinaryIO, int], int]] = {
    "avi": _riff_end,
    "mov": _boxes_end,
    "matroska": _ebml_end,
    "asf": _asf_end,
    "mpeg": _program_stream_end,
    "mpegts": _transport_stream_end,
    "ogg": _ogg_end,
}
