"""The list of a video's frames: which pictures it shows, in which order, and where decoding can start."""

from __future__ import annotations

import dataclasses
import itertools
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from flowkit.errors import FrameError
from flowkit.frames.rate import Rate, rate_of_stamps
from flowkit.frames.video_promise import TIMED, Held, frames_missing

# Where the time stamps of the packets are those of the pictures, one each. Everything else is decoded once to be
# listed: AVI stores no stamps, and a packet of the older codecs may hold no picture, or two.
_STAMPED_FORMATS = {"mov", "matroska"}
_STAMPED_CODECS = {"h264", "hevc", "av1", "vp9", "mjpeg", "prores", "ffv1"}
_SEEKING_FORMATS = {"mov", "matroska", "avi"}
"""Containers that list each packet, so that seeking is exact; see `flowkit.frames.video`."""
_PROBE = 16
"""Pictures decoded on opening to see that the packets' stamps hold."""


class Key(NamedTuple):
    """A place to start decoding: the first frame that can be decoded from there, and where to seek."""

    frame: int
    rank: int
    pts: int | None
    """None: the file's beginning."""
    dts: int | None
    bytes_: int
    """Of its packet: a packet of other size with these stamps is another one."""


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What is known of a video as a whole."""

    codec: str
    rate: Rate
    tick_s: Fraction
    """The unit of the stamps."""
    pixel_aspect: Fraction | None
    """Width of a pixel by its height; None where the file does not say."""
    seeks: bool
    """Whether its container seeks exactly."""
    missing: int
    """Frames that the file promises, and does not hold, at least."""


@dataclass(frozen=True, slots=True, eq=False)
class VideoIndex:
    """A video's frames in presentation order, or a stretch of them; a frame is an index from 0 here."""

    frames: int
    """Of the whole video."""
    start: int
    """The first frame of the stretch that is described."""
    stamps: NDArray[np.int64]
    """Each frame's pts; empty where stamps are missing or repeated, so that frames are counted from the beginning."""
    ranks: NDArray[np.int64]
    """Each frame's place in decoding order; empty where frames are counted, for there it is the frame itself."""
    horizon: NDArray[np.int64]
    """For each frame, the last one in presentation order that is decoded no later; empty as `ranks`."""
    keys: list[Key]
    """Ascending; the first is the file's beginning."""
    facts: VideoFacts

    @property
    def end(self) -> int:
        """Behind the last frame that is described."""
        return self.start + len(self.stamps) if len(self.stamps) else self.frames

    def position(self) -> dict[int, int]:
        """Frame by pts, of the stretch."""
        return {int(pts): frame for frame, pts in enumerate(self.stamps, self.start)}

    def beyond(self) -> float:
        """The pts behind which nothing of the stretch is shown; infinite where there is none."""
        if self.end == self.frames or np.any(np.diff(self.stamps) <= 0):
            return math.inf
        return float(self.stamps[-1])

    def rank_of(self, frame: int) -> int:
        return int(self.ranks[frame - self.start]) if len(self.ranks) else frame

    def horizon_of(self, frame: int) -> int:
        return int(self.horizon[frame - self.start]) if len(self.horizon) else frame

    def key_at(self, frame: int) -> int:
        """The place in `keys` from which to decode a frame."""
        return bisect_right(self.keys, frame, key=lambda key: key.frame) - 1

    def around(self, frames: Iterable[int]) -> VideoIndex:
        """The stretch that decoding these frames takes: from the keyframe of the first one to where all that the last
        one builds on has been shown. The file's beginning stays among its keys, for what cannot be decoded from there.

        Its arrays are views: a run holds a stretch for each part, which is most of a video that has few keyframes.
        Pickled, a view is its own elements.
        """
        wanted = [frame for frame in frames if self.start <= frame < self.end]
        if not wanted or not len(self.stamps):
            return self
        first, last = min(wanted), max(wanted)
        start = self.keys[self.key_at(first)].frame
        horizon = int(self.horizon[start - self.start : last + 1 - self.start].max())
        keys = self.keys[self.key_at(first) : self.key_at(horizon) + 1]
        if keys[0] != self.keys[0]:
            keys = [self.keys[0], *keys]
        chosen = slice(start - self.start, horizon + 1 - self.start)
        return dataclasses.replace(
            self,
            start=start,
            stamps=self.stamps[chosen],
            ranks=self.ranks[chosen],
            horizon=self.horizon[chosen],
            keys=keys,
        )


def joined(index: VideoIndex, later: VideoIndex, frame: int) -> VideoIndex | None:
    """One stretch of two of one video, from the keyframe at or before `frame` on; None where something between them is
    missing, or the later one is no later.
    """
    if not len(index.stamps):  # frames are counted, and each has them all
        return index
    start = max(index.keys[index.key_at(frame)].frame, index.start)
    if not start <= later.start <= index.end:
        return None
    old, new = slice(start - index.start, None), slice(max(index.end - later.start, 0), None)
    known = index.keys[-1].frame
    return dataclasses.replace(
        index,
        start=start,
        stamps=np.concatenate([index.stamps[old], later.stamps[new]]),
        ranks=np.concatenate([index.ranks[old], later.ranks[new]]),
        horizon=np.concatenate([index.horizon[old], later.horizon[new]]),
        keys=[
            index.keys[0],
            *(key for key in index.keys[1:] if key.frame >= start),
            *(key for key in later.keys[1:] if key.frame > known),
        ],
    )


class _Packet(NamedTuple):
    pts: int | None
    dts: int | None
    key: bool
    discard: bool
    bytes_: int


def video_stream(container: InputContainer) -> av.VideoStream:
    """A container's video, to be decoded by one thread; FrameError where it has none."""
    stream = container.streams.best("video")
    if not isinstance(stream, av.VideoStream):
        raise FrameError("no video stream that can be decoded")
    # Work is shared out to processes; and so an error is reported for the packet that has it.
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    return stream


def decode(
    stream: av.VideoStream, packets: Iterable[av.Packet[av.VideoStream]]
) -> Iterator[tuple[int | None, av.VideoFrame | None]]:
    """Pictures with their pts, in presentation order; (pts, None), at once, for a packet that is cut or refused."""
    coded = (packet for packet in packets if packet.size)  # decoding an empty packet would end the stream
    for packet in itertools.chain(coded, [None]):
        if packet is not None and packet.is_corrupt:
            yield packet.pts, None
        try:
            pictures = stream.decode(packet)
        except av.FFmpegError:
            if packet is not None:
                yield packet.pts, None
            continue
        yield from ((picture.pts, picture) for picture in pictures)


def index_video(path: str) -> VideoIndex:
    """Lists a video's frames.

    Raises FrameError, without the path, or av.FFmpegError where there is no video to list.
    """
    with av.open(path) as container:
        stream = video_stream(container)
        packets, end_s = _listed(container, stream)
        codec, format_ = stream.codec_context.name, container.format.name.split(",")[0]
        order: list[int] | range = (
            _order_of_packets(packets) if codec in _STAMPED_CODECS and format_ in _STAMPED_FORMATS else []
        )
        keys = {packet.pts for packet in packets if packet.key and packet.pts is not None}
        if not (isinstance(order, list) and order and _holds(path, order)):
            shown, refused, shown_keys = _shown(path, None)
            if not shown:
                raise FrameError("no frame can be decoded")
            order, keys = _order_of_pictures(packets, shown, refused), keys & shown_keys
        return _assemble(packets, order, keys, _facts(container, stream, packets, order, end_s, path))


def _listed(container: InputContainer, stream: av.VideoStream) -> tuple[list[_Packet], float]:
    """The video's packets, and where the last one of any stream ends, in seconds."""
    # A duration is that of the longest stream, often the sound, which is read where durations are compared only.
    timed = container.format.name.split(",")[0] in TIMED
    packets, end_s = [], 0.0
    for packet in container.demux() if timed else container.demux(stream):
        if timed and packet.pts is not None:
            end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.size and packet.stream_index == stream.index:
            packets.append(_Packet(packet.pts, packet.dts, packet.is_keyframe, packet.is_discard, packet.size))
    return packets, end_s


def _facts(
    container: InputContainer,
    stream: av.VideoStream,
    packets: list[_Packet],
    order: list[int] | range,
    end_s: float,
    path: str,
) -> VideoFacts:
    tick_s = stream.time_base or Fraction(1)
    stamps = np.zeros(0, np.int64) if isinstance(order, range) else np.array(order, np.int64)
    steps = np.sort(np.diff(np.sort(stamps)))
    middle, longest = (float(steps[len(steps) // 2] * tick_s), float(steps[-1] * tick_s)) if len(steps) else (0.0, 0.0)
    if not len(steps) and stream.average_rate:
        middle = longest = float(1 / stream.average_rate)
        end_s = max(end_s, len(packets) * middle)
    stated = [stream.average_rate, stream.base_rate]
    return VideoFacts(
        codec=stream.codec_context.name,
        rate=rate_of_stamps(stamps, tick_s, stated),
        tick_s=tick_s,
        seeks=container.format.name.split(",")[0] in _SEEKING_FORMATS,
        pixel_aspect=stream.sample_aspect_ratio or None,
        missing=frames_missing(container, stream, Held(_frames_held(container, packets), end_s, middle, longest), path),
    )


def _frames_held(container: InputContainer, packets: list[_Packet]) -> int:
    shown = sum(not packet.discard for packet in packets)
    if container.format.name != "avi":
        return shown
    # A frame that was dropped is a chunk without bytes, which is no packet; stamps count the chunks.
    return max([shown, *(packet.dts + 1 for packet in packets if packet.dts is not None)])


def _order_of_packets(packets: list[_Packet]) -> list[int]:
    """The stamps in presentation order as the packets give them; empty where they are missing or repeated."""
    kept = [packet.pts for packet in packets if not packet.discard]
    stamps = sorted(pts for pts in kept if pts is not None)
    if not packets or len(set(stamps)) < len(kept):
        return []
    first = packets[0]
    if first.key and first.pts is not None:  # what it leads in builds on what was cut off, and no decoder shows it
        stamps = [pts for pts in stamps if pts >= first.pts]
    return stamps


def _holds(path: str, order: list[int]) -> bool:
    """Whether the first pictures that decoding shows follow each other in this order.

    Frames before the first that is shown, and those of refused packets, are damaged and keep their numbers.
    """
    shown, refused, _ = _shown(path, _PROBE)
    if refused:
        return set(shown) <= set(order)
    if not shown or shown[0] not in order:
        return False
    begin = order.index(shown[0])
    return shown == order[begin : begin + len(shown)]


def _shown(path: str, most: int | None) -> tuple[list[int | None], set[int], set[int]]:
    """The stamps of the (first) pictures that decoding shows; those of refused packets; those of key pictures."""
    shown: list[int | None] = []
    refused, keys = set(), set()
    with av.open(path) as container:
        stream = video_stream(container)
        for pts, picture in decode(stream, container.demux(stream)):
            if picture is not None:
                shown.append(pts)
            elif pts is not None:
                refused.add(pts)
            if picture is not None and picture.key_frame and pts is not None:
                keys.add(pts)
            if len(shown) == most:
                break
    return shown, refused, keys


def _order_of_pictures(packets: list[_Packet], shown: list[int | None], refused: set[int]) -> list[int] | range:
    """The stamps in presentation order as decoding gives them; a range where they cannot name the frames."""
    stamps = [pts for pts in shown if pts is not None]
    known = [packet.pts for packet in packets]
    if len(set(stamps)) < len(shown) or len(set(known)) < len(known) or not set(stamps) <= set(known):
        return range(len(shown))
    if stamps == sorted(stamps):
        return sorted({*stamps, *refused})
    if refused:
        raise FrameError("damaged, and without the time stamps to tell which frames are lost")
    return stamps


def _assemble(packets: list[_Packet], order: list[int] | range, keys: set[int], facts: VideoFacts) -> VideoIndex:
    beginning = Key(0, 0, None, None, 0)
    nothing = np.zeros(0, np.int64)
    if isinstance(order, range):
        return VideoIndex(len(order), 0, nothing, nothing, nothing, [beginning], facts)
    position = {pts: frame for frame, pts in enumerate(order)}
    ranks, horizon = np.zeros((2, len(order)), np.int64)
    starts = [beginning]
    latest = 0
    for rank, packet in enumerate(packets):
        frame = None if packet.pts is None else position.get(packet.pts)
        if frame is None:
            continue
        latest = max(latest, frame)
        ranks[frame], horizon[frame] = rank, latest
        if packet.pts in keys and frame > 0:
            starts.append(Key(frame, rank, packet.pts, packet.dts, packet.bytes_))
    return VideoIndex(len(order), 0, np.array(order, np.int64), ranks, horizon, sorted(starts), facts)
