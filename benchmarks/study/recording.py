"""How frames are recorded: light that changes, noise, 8 bit, JPEG, H.264."""

from __future__ import annotations

import io
from collections.abc import Sequence

import av
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from flowkit.synthetic.render import digitise

Clean = NDArray[np.float32]
Frame = NDArray[np.uint8]

LIGHTS = ("gain 2 %", "offset 3", "gradient", "gamma 4 %", "shadow", "offset 9")
"""What the light does between the frames; `relight` says how much."""
CODECS = ("jpeg 95", "jpeg 75", "h264 6", "h264 12", "h264 18")
"""JPEG by quality, H.264 by constant rate factor."""
HELD = 8
"""Frames of each of the two phases in an encoded clip, whose only I frame is the first; the last of each is used."""
CLIP_RATE = 100
"""Frames a second of such a clip."""


def relight(frame: Clean, light: str, rng: np.random.Generator) -> Clean:
    """The frame (h, w) float32 on 0..255 under another light; which way it changes is random.

    `gradient` goes from -3 to +3 grey levels across the frame, `shadow` takes 4 % on one side of an edge 25 px wide.
    """
    sign = float(rng.choice([-1, 1]))
    height, width = frame.shape
    if light.startswith("gain"):
        return frame * np.float32(1 + 0.02 * sign)
    if light.startswith("offset"):
        return frame + np.float32(sign * float(light.split()[1]))
    if light.startswith("gamma"):
        return (255 * (frame / 255) ** (1 + 0.04 * sign)).astype(np.float32)
    heading = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:height, :width]
    along = np.cos(heading) * (x / width - 0.5) + np.sin(heading) * (y / height - 0.5)
    if light == "gradient":
        return (frame + 3 * along / np.abs(along).max()).astype(np.float32)
    dark = (along > rng.uniform(-0.2, 0.2)).astype(np.float32)
    soft = gaussian_filter1d(gaussian_filter1d(dark, 25, axis=0), 25, axis=1)
    return frame * (1 - np.float32(0.04) * soft)


def record(clean: Sequence[Clean], noise: float, codec: str, rng: np.random.Generator) -> tuple[Frame, Frame]:
    """Two clean frames as a camera stores them; noise in grey levels, its sigma; `codec` is one of CODECS or empty."""
    if codec.startswith("h264"):
        first, second = ([digitise(frame, noise, rng) for _ in range(HELD)] for frame in clean)
        decoded = through_h264(first + second, int(codec.split()[1]))[0]
        return decoded[HELD - 1], decoded[2 * HELD - 1]
    first, second = (digitise(frame, noise, rng) for frame in clean)
    if codec:
        quality = int(codec.split()[1])
        first, second = (_through_jpeg(frame, quality) for frame in (first, second))
    return first, second


def through_h264(frames: Sequence[Frame], factor: int) -> tuple[list[Frame], int]:
    """Grey frames (h, w) with even sides, encoded by x264 (medium) at a constant rate factor, and the file's bytes.

    By x264's plain C: with its vector code, the same frames come out a little different now and then.
    """
    options = {"crf": str(factor), "threads": "1", "x264-params": "asm=0"}
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=CLIP_RATE, options=options)
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            rgb = np.repeat(frame[..., None], 3, axis=2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    size = file.tell()
    file.seek(0)
    with av.open(file) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)], size


def _through_jpeg(frame: Frame, quality: int) -> Frame:
    return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(frame[..., None], quality, "GRAY", "GRAY"), "GRAY")[..., 0]
