"""Real encoded videos for tests, each of whose frames shows its own number: several codecs, containers, damages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

BITS, SIDE = 8, 32
B_FRAMES = {"g": "12", "x264-params": "b-adapt=0:bframes=3:b-pyramid=normal:scenecut=0"}
OPEN_GROUPS = {"g": "12", "x264-params": "b-adapt=0:bframes=3:b-pyramid=normal:scenecut=0:open-gop=1"}
ENCODED_APART = ("libvpx", "libsvtav1")
"""The first has been seen to spin for ever in a process in which other codecs had run before; the second gives root's
process real-time priority for good, and all that it starts: on two CPUs little else goes on then."""
VFR = np.cumsum(np.random.default_rng(1).integers(20, 60, 60)).tolist()
ENCODED: dict[str, tuple[str, dict[str, str], Sequence[int] | None]] = {
    "mpeg4.avi": ("mpeg4", {"g": "12"}, None),
    "mpeg4_b.avi": ("mpeg4", {"g": "12", "bf": "2"}, None),
    "h264_b.avi": ("libx264", B_FRAMES, None),  # without stamps: the packets' order is not that of the pictures
    "h264_b.mp4": ("libx264", B_FRAMES, None),
    "open_groups.mp4": ("libx264", OPEN_GROUPS, None),
    "vfr.mp4": ("libx264", B_FRAMES, VFR),
    "h264.mov": ("libx264", B_FRAMES, None),
    "mpeg2.mpg": ("mpeg2video", {"g": "12", "bf": "2"}, None),
}


def numbered_picture(index: int) -> NDArray[np.uint8]:
    """A (96, 128, 3) picture that carries its index as eight black and white blocks, over a strip of texture."""
    picture = np.full((3 * SIDE, 4 * SIDE, 3), 128, np.uint8)
    for bit in range(BITS):
        row, column = divmod(bit, 4)
        block = np.s_[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
        picture[block] = 235 if index >> bit & 1 else 20
    texture = np.random.default_rng(index).integers(0, 255, (4, 16), dtype=np.uint8)
    picture[2 * SIDE :] = cv2.resize(texture, (4 * SIDE, SIDE))[..., None]
    return picture


def index_shown(frame: NDArray[np.generic]) -> int:
    grey = frame if frame.ndim == 2 else frame[..., 1]
    blocks = grey[: 2 * SIDE].reshape(2, SIDE, 4, SIDE).astype(float).mean(axis=(1, 3)).ravel()
    assert np.all(np.abs(blocks - 128) > 60)
    return int(sum(1 << bit for bit in range(BITS) if blocks[bit] > 128))


def write_video(
    path: Path,
    codec: str,
    options: dict[str, str] | None = None,
    pts: Sequence[int] | None = None,
    count: int = 60,
    rate: int = 30,
    pix_fmt: str = "yuv420p",
) -> Path:
    if codec in ENCODED_APART:
        arguments = repr((str(path), codec, options, pts and list(pts), count, rate, pix_fmt))
        code = f"from tests.videos import encode; encode(*{arguments})"
        subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, check=True, timeout=120)
    else:
        encode(str(path), codec, options, pts, count, rate, pix_fmt)
    return path


def encode(
    path: str,
    codec: str,
    options: dict[str, str] | None,
    pts: Sequence[int] | None,
    count: int,
    rate: int,
    pix_fmt: str,
) -> None:
    """Writes a video in this process; see `write_video`."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = 3 * SIDE, 4 * SIDE, pix_fmt
        if pts is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(count):
            picture = av.VideoFrame.from_ndarray(numbered_picture(index), format="rgb24")
            if pts is not None:
                picture.pts, picture.time_base = pts[index], Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def packet_bytes(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def damage_packet(source: Path, target: Path, packet: int) -> Path:
    """A copy whose given packet (in decoding order) ends in zeros."""
    data, payload = source.read_bytes(), packet_bytes(source)[packet]
    kept = payload[: len(payload) // 3]
    target.write_bytes(data.replace(payload, kept + bytes(len(payload) - len(kept))))
    return target


def decode_all(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [picture.to_ndarray(format="gray") for picture in container.decode(video=0)]
