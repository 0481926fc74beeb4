"""Frames from a video file, each exactly the one that its number says.

Seeking by frame number or by time gives wrong frames on files with a varying rate, B-frames or edit lists. Here every
frame is known by its presentation time stamp (pts): opening a video lists the stamps, and reading one seeks to a
keyframe at or before it, decodes on, and takes the picture that carries the stamp.

A container seeks if it is one of those where that was seen to be exact, in every frame of files of many codecs: those
that store each packet's place and stamp. It is not enough to look at what a seek has landed on. A program stream stores
stamps for some pictures only, and a reader makes up the others from where it began: after a seek they name other
pictures, by stamps that all look right.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from flowkit.errors import FrameError
from flowkit.frames.fetch import fetched, file_sha256
from flowkit.frames.opened import Opened
from flowkit.frames.prepare import first_size
from flowkit.frames.video_index import Key, VideoIndex, decode, index_video, joined, video_stream
from flowkit.output.store import Place

_NEAR = 16
"""A keyframe at most so many frames ahead is reached by decoding on; a farther one by seeking."""
_BUILDING_ON_OTHERS = (PictureType.P, PictureType.B)
_SAMPLE_BYTES = 1 << 16


class VideoSource:
    """A video file; frame i in presentation order (0-based) has the number `frame_base` + i.

    Frames that an edit list hides are not counted. A frame that the decoder reports as damaged, or does not show, is a
    FrameError and keeps its number; so are those after it up to the next keyframe, for they may build on it.

    Grey is the luma on 0..255: round((Y - 16) * 255 / 219), clipped, for a limited range (also where the file states
    none); Y itself for a full range and for grey video; 0.299 R + 0.587 G + 0.114 B for RGB video. More than 8 bits a
    sample are reduced to 8, within 1 level of this. Colour is RGB by swscale. Frames are turned by multiples of 90
    degrees as the file's display matrix says (phones record upright video lying down); a mirroring is not applied: what
    is to be shown on top is on top, with left and right swapped.

    Opening raises FrameError where the file is no readable video.
    """

    def __init__(self, path: Place, *, frame_base: int = 0) -> None:
        self.path = path
        try:
            with fetched(path) as file:
                self._index = index_video(os.fspath(file))
        except (FrameError, av.FFmpegError, OSError) as error:
            raise FrameError(f"{path} cannot be read as a video: {_reason(error)}; re-encode it") from error
        self.first = frame_base
        facts = self._index.facts
        self.last = frame_base + self._index.frames + facts.missing - 1
        self.fps, self.variable = facts.rate
        self.pixel_aspect = facts.pixel_aspect
        self.decoder = f"pyav {av.__version__} ({facts.codec})"

    def only(self, numbers: Iterable[int]) -> VideoSource:
        """See `FrameSource.only`."""
        part = copy.copy(self)
        part._index = self._index.around(number - self.first for number in numbers)
        return part

    def size(self) -> tuple[int, int]:
        """See `FrameSource.size`; as the frame is read, turned upright."""
        return first_size(self.read(self.numbers()))

    def identity(self) -> str:
        """See `FrameSource.identity`."""
        with fetched(self.path) as path, path.open("rb") as file:
            bytes_ = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(f"{bytes_}\0".encode())
            last = max(bytes_ - _SAMPLE_BYTES, 0)
            for start in sorted({0, last // 2, last}):
                file.seek(start)
                digest.update(file.read(_SAMPLE_BYTES))
        return digest.hexdigest()

    def sha256(self) -> str:
        """See `FrameSource.sha256`."""
        return file_sha256(self.path)

    def numbers(self) -> Sequence[int]:
        """The numbers of the frames that the file holds, ascending."""
        return range(self.first, self.first + self._index.frames)

    def seconds(self) -> NDArray[np.float64] | None:
        """See `FrameSource.seconds`."""
        stamps = self._index.stamps
        if len(stamps) < self._index.frames:
            return None
        seconds: NDArray[np.float64] = (stamps - stamps[0]) * float(self._index.facts.tick_s)
        return seconds

    def read(
        self, numbers: Iterable[int], *, colour: bool = False, opened: Opened | None = None
    ) -> Iterator[tuple[int, NDArray[np.uint8] | FrameError]]:
        """Frames by number, ascending, as `FrameSource.read` says; close the iterator to close the file early."""
        convert = _Converter(colour)
        with fetched(self.path) as file:
            pictures = self._pictures(os.fspath(file), opened)
            left_open = False
            try:
                for number in sorted(set(numbers)):
                    try:
                        yield number, convert(self._picture(pictures, number))
                    except (FrameError, av.FFmpegError, OSError) as error:
                        yield number, FrameError(f"{self.path}: frame {number} cannot be read: {_reason(error)}")
                if opened is not None:
                    opened.leave(pictures)
                    left_open = True
            finally:
                if not left_open:
                    pictures.close()

    def _pictures(self, path: str, opened: Opened | None) -> _Pictures:
        """Those that were left open, where they are of this file and it can be read on from there; else new ones."""
        kept = opened.take() if opened is not None else None
        if isinstance(kept, _Pictures) and kept.go_on(path, self._index):
            return kept
        if kept is not None:
            kept.close()
        return _Pictures(path, self._index)

    def _picture(self, pictures: _Pictures, number: int) -> av.VideoFrame:
        if not self.first <= number <= self.last:
            raise FrameError(f"its frames are {self.first} to {self.last}; correct the annotation or frame_base")
        if (frame := number - self.first) >= (held := self._index.frames):
            promised = held + self._index.facts.missing
            raise FrameError(
                f"the file promises at least {promised} frames and holds {held}: it was cut off; restore it"
            )
        picture = pictures.get(frame)
        if picture is None:
            raise FrameError("it, or a frame that it builds on, is damaged; restore or re-encode the file")
        return picture


def _reason(error: Exception) -> str:
    return (isinstance(error, (av.FFmpegError, OSError)) and error.strerror) or str(error)


class _Converter:
    """Turns decoded pictures into arrays: (h, w) grey, or (h, w, 3) RGB, uint8."""

    def __init__(self, colour: bool) -> None:
        self._format = "rgb24" if colour else "gray"
        self._reformat = VideoReformatter().reformat

    def __call__(self, picture: av.VideoFrame) -> NDArray[np.uint8]:
        # The angle is that of the matrix's first row, where swapping left and right has changed one sign.
        turned = 180 - picture.rotation if _mirrored(picture) else picture.rotation
        if turned % 90:
            raise FrameError(f"it is to be shown turned by {turned} degrees; re-encode it upright")
        image = self._reformat(picture, format=self._format, dst_color_range="JPEG", threads=1).to_ndarray()
        return np.ascontiguousarray(np.rot90(image, turned // 90), dtype=np.uint8)


def _mirrored(picture: av.VideoFrame) -> bool:
    """Whether the determinant of its display matrix is negative."""
    try:
        matrix: Any = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV lists nothing that stands beside a picture where it has no name for one of them
        return False
    if matrix is None:
        return False
    a, b, _, c, d, *_ = memoryview(matrix).cast("i")
    return a * d < b * c


class _NotFromHere(Exception):
    """What the file lists as a keyframe is none: its picture is not shown, or builds on others.

    H.264 can renew the picture a column at a time. The file lists where that begins; a decoder that starts there shows
    pictures some frames later, and they are not whole.
    """


class _Stretch:
    """What is known of the file's frames where pictures are decoded; it may grow while they are."""

    def __init__(self, index: VideoIndex) -> None:
        self.set(index)

    def set(self, index: VideoIndex) -> None:
        """Of this stretch from now on."""
        self.index, self.position, self.beyond = index, index.position(), index.beyond()


class _Pictures:
    """Pictures by frame index, asked for in ascending order: decodes on, or seeks where that is shorter."""

    def __init__(self, path: str, index: VideoIndex) -> None:
        self._path, self._stretch = path, _Stretch(index)
        self._run: Generator[tuple[int, av.VideoFrame] | None] | None = None
        self._head: tuple[int, av.VideoFrame | None] = (-1, None)
        self._asked = -1
        """No frame from this one to the head is whole."""
        self._goes_on = False
        """The run has not ended yet, neither by an error nor with the file."""

    def go_on(self, path: str, index: VideoIndex) -> bool:
        """Whether frames of this index can be got from here too, which then is so."""
        mine = self._stretch.index
        if path != self._path or (index.frames, index.facts) != (mine.frames, mine.facts) or not self._goes_on:
            return False
        both = joined(mine, index, self._asked)
        # Where stamps are out of order, what has been passed over as beyond the stretch may be of the next one.
        if both is None or np.any(np.diff(both.stamps) <= 0):
            return False
        if self._head[1] is None:  # all of the stretch had been shown
            self._head = (self._asked, None)
        self._stretch.set(both)
        return True

    def get(self, frame: int) -> av.VideoFrame | None:
        """The picture, or None where it cannot be decoded whole."""
        index = self._stretch.index
        key = index.key_at(frame)
        if self._run is None or frame < self._asked or index.keys[key].frame - self._head[0] > _NEAR:
            self._start(key)
        self._asked = frame
        while self._head[0] < frame:
            self._advance()
        return self._head[1] if self._head[0] == frame else None

    def close(self) -> None:
        """Close the file."""
        if self._run is not None:
            self._run.close()

    def _start(self, key: int) -> None:
        self.close()
        while True:
            self._run = _whole(self._path, self._stretch, self._stretch.index.keys[key])
            try:
                self._advance()
                return
            except _NotFromHere:
                key -= 1

    def _advance(self) -> None:
        assert self._run is not None
        self._goes_on = False
        for found in self._run:
            self._goes_on = True
            self._head = found or (self._stretch.index.end, None)
            return
        self._head = (self._stretch.index.end, None)


def _whole(path: str, stretch: _Stretch, key: Key) -> Generator[tuple[int, av.VideoFrame] | None]:
    """The undamaged pictures from a keyframe on, each with its frame index, in presentation order; None, as often as
    it is asked, where the stretch ends and the file goes on.

    A B-frame is shown before a frame that it builds on. So each picture is held back until all that were decoded
    before it have been shown too, and is dropped if one of them was damaged: one from the keyframe before it on, both
    in presentation and in decoding order, for what is outside that group has no effect inside it.
    """
    damaged: list[int] = []
    held: deque[tuple[int, av.VideoFrame]] = deque()
    for decoded in itertools.chain(_decoded_from(path, stretch, key), [_ENDED]):
        frame, picture = decoded or (stretch.index.end, None)
        if decoded is _ENDED:
            frame = stretch.index.end
        elif decoded is not None and (picture is None or picture.is_corrupt):
            damaged.append(frame)
            continue
        if picture is not None:
            held.append((frame, picture))
        while held and stretch.index.horizon_of(held[0][0]) < frame + (picture is not None):
            shown, whole = held.popleft()
            start = stretch.index.keys[stretch.index.key_at(shown)]
            suspects = range(start.rank, stretch.index.rank_of(shown) + 1)
            if not any(bad >= start.frame and stretch.index.rank_of(bad) in suspects for bad in damaged):
                yield shown, whole
        if decoded is None:
            yield None


_ENDED: tuple[int, None] = (-1, None)


def _decoded_from(path: str, stretch: _Stretch, key: Key) -> Generator[tuple[int, av.VideoFrame | None] | None]:
    """All pictures from a keyframe on with their frame index; None in place of a refused packet's. Where the stretch
    ends, None alone."""
    with ExitStack() as opened:
        key, stream, packets = _open_at(opened, path, stretch.index, key)
        begun, counted = key.pts is None, 0
        early: list[int] = []
        """Refused packets of frames beyond the stretch: they are heard of before the pictures ahead of them."""
        for pts, picture in decode(stream, packets):
            if not begun and key.pts is not None and pts is not None and pts >= key.pts:
                if picture is not None and (pts > key.pts or picture.pict_type in _BUILDING_ON_OTHERS):
                    raise _NotFromHere
                begun = picture is not None or pts == key.pts
            if picture is None and pts is not None and pts > stretch.beyond:
                early.append(pts)
                continue
            while pts is not None and pts > stretch.beyond:
                yield None  # all of the stretch has been shown, or will never be
            for refused in [refused for refused in early if refused <= stretch.beyond]:
                early.remove(refused)
                yield stretch.position.get(refused, -1), None
            if stretch.position:
                frame = -1 if pts is None else stretch.position.get(pts, -1)
            else:
                frame, counted = counted, counted + (picture is not None)
            if max(key.frame, stretch.index.start) <= frame < stretch.index.end:
                # Not leading pictures: they build on earlier frames.
                yield frame, picture


def _open_at(
    opened: ExitStack, path: str, index: VideoIndex, key: Key
) -> tuple[Key, av.VideoStream, Iterator[av.Packet[av.VideoStream]]]:
    """The packets from a keyframe on, or from an earlier one where the container could only seek there.

    Where it is not known to seek exactly, or has landed on neither, the file is read from its beginning and the packets
    before the keyframe are passed over without being decoded. They are then those that were listed, whatever a seek
    would have made of them.
    """
    if index.facts.seeks and key.pts is not None:
        container = opened.enter_context(av.open(path))
        stream = video_stream(container)
        if (found := _seek(container, stream, index, key)) is not None:
            return found[0], stream, found[1]
    container = opened.enter_context(av.open(path))
    stream = video_stream(container)
    packets = (packet for packet in container.demux(stream) if packet.size)
    return key, stream, itertools.islice(packets, key.rank, None)


def _seek(
    container: InputContainer, stream: av.VideoStream, index: VideoIndex, key: Key
) -> tuple[Key, Iterator[av.Packet[av.VideoStream]]] | None:
    """The packets from a keyframe on, or from an earlier one; None where a seek lands on neither."""
    known = {key.pts: key for key in index.keys if key.pts is not None}
    for target in (key.pts, key.dts):  # a container lists one or the other
        if target is None:
            continue
        container.seek(target, stream=stream)
        packets = container.demux(stream)
        for packet in packets:
            landed = None if packet.pts is None else known.get(packet.pts)
            if landed is None or landed.bytes_ != packet.size:
                continue
            if landed.frame <= key.frame:
                return landed, itertools.chain([packet], packets)
            break
    return None
