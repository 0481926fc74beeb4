"""Frames of a moving face, and single pairs of them with their true flow."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.synthetic.faces import neutral_face
from flowkit.synthetic.motion import Bump, Field, Pose, bump_field, expression, head_pose, pixel_grid, true_flow
from flowkit.synthetic.spline import sampled, spline

SUPERSAMPLING = 2
LENS_PX = 0.5
"""Blur of the lens, sigma in pixels of the frame. Without it the frames would alias, and no flow would fit them."""
JPEG_QUALITY = 95

EMOTIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "happiness": (("12",), ("6", "12")),
    "disgust": (("4",), ("4", "9"), ("4", "10")),
    "surprise": (("1", "2"), ("1", "2", "26")),
}
"""The action units that each emotion of the demo may show."""


class Performance:
    """One face, one expression and one pose of the head, of which any frame can be made."""

    def __init__(self, identity: int, size: int, bumps: Sequence[Bump], pose: Pose, *, seed: int = 0) -> None:
        self.size = size
        self.bumps = bumps
        self.pose = pose
        picture = neutral_face(identity, size * SUPERSAMPLING, seed).picture
        blurred = cv2.GaussianBlur(picture, (0, 0), sigmaX=LENS_PX * SUPERSAMPLING)
        self._picture = spline(blurred.astype(np.float32, copy=False))
        self._grid = pixel_grid(size, SUPERSAMPLING)
        self._expression = bump_field(bumps, self._grid)

    def frame(self, amplitude: float, share: float) -> NDArray[np.float32]:
        """The noise-free frame (size, size, 3) float32 RGB on 0..255; onset is (0, 0), apex (1, 1).

        Args:
            amplitude: of the expression.
            share: of the head's turn and shift.

        Sampled by a cubic spline from the neutral picture at twice the size, behind a lens, then averaged over 2 x 2.
        OpenCV 4 rounds sampling positions to 1/64 px of the frame; OpenCV 5 does not.
        """
        backward = amplitude * self._expression + self.pose.part(share).backward(self._grid)
        fine = sampled(self._picture, (self._grid - backward + 0.5) * SUPERSAMPLING - 0.5)
        frame = cv2.resize(fine, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return frame.astype(np.float32, copy=False)

    def flow(self, amplitude: float, share: float) -> NDArray[np.float32]:
        """The true flow (2, size, size) from `frame(0, 0)` to `frame(amplitude, share)`, pixels."""
        pose = self.pose.part(share)

        def backward(points: Field) -> Field:
            return amplitude * bump_field(self.bumps, points) + pose.backward(points)

        return true_flow(backward, self.size).astype(np.float32)


def facial_pair(
    identity: int, amplitude_px: float, size: int, seed: int, *, noise: float = 1.0, quality: int | None = JPEG_QUALITY
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """Two grey frames of a face and the true flow between them, for tests and benchmarks.

    Identity 0 is the portrait, the others are drawn. The expression is one of the demo's, chosen by `seed`; its largest
    displacement is `amplitude_px`, to which the head adds a shift of up to 0.3 px, less where the amplitude is below
    1 px. `noise` is the sensor noise's sigma in grey levels; `quality` that of the JPEG the frames go through, None
    for none. Returns (size, size) uint8 twice and (2, size, size) float32 in pixels, I0(x) ~ I1(x + flow(x)).
    """
    rng = np.random.default_rng([seed, identity, size])
    choices = [units for sets in EMOTIONS.values() for units in sets]
    units = choices[rng.integers(len(choices))]
    landmarks = neutral_face(identity, size * SUPERSAMPLING).landmarks
    bumps = expression(units, landmarks, size, amplitude_px, rng)
    calm = min(1.0, amplitude_px)
    performance = Performance(identity, size, bumps, head_pose(size, 0.3 * calm, 0.15 * calm, rng))
    frames = []
    for amount in (0.0, 1.0):
        grey = cv2.cvtColor(performance.frame(amount, amount), cv2.COLOR_RGB2GRAY)
        digital = digitise(grey.astype(np.float32, copy=False), noise, rng)
        if quality is not None:
            digital = _through_jpeg(digital, quality)
        frames.append(digital)
    return frames[0], frames[1], performance.flow(1.0, 1.0)


def _through_jpeg(frame: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    import simplejpeg

    coded = simplejpeg.encode_jpeg(frame[..., None], quality, "GRAY", "GRAY")
    decoded: NDArray[np.uint8] = simplejpeg.decode_jpeg(coded, "GRAY")[..., 0]
    return decoded


def digitise(frame: NDArray[np.float32], noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A frame (h, w) or (h, w, 3) as a sensor gives it: Gaussian noise, the same in all colours, rounded to uint8."""
    grain = (noise * rng.standard_normal(frame.shape[:2])).astype(np.float32)
    if frame.ndim == 3:
        grain = grain[..., None]
    digital: NDArray[np.uint8] = np.clip(np.rint(frame + grain), 0, 255).astype(np.uint8)
    return digital
