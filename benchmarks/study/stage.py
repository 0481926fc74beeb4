"""From shots to pairs of frames with their truth, kept under build/study: rendering takes longer than solving."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import flowkit.synthetic
from benchmarks.study.motions import Setting, setting
from benchmarks.study.recording import record, relight
from benchmarks.study.scenes import Truth, render, slopes, true_flow
from benchmarks.study.shots import Shot

Mask = NDArray[np.bool_]
Flow = NDArray[np.float32]

KEPT = Path(__file__).parents[2] / "build" / "study"
SUPPORT = 0.1
"""Where a bump is: above this share of its largest displacement."""
CALM = 0.01
"""Where nothing moves: below this share."""
BAND_PX = 12.0
"""Beside an outline or an edge of occlusion."""
QUANTISATION = 1 / 12
"""Variance of rounding to whole grey levels."""


@dataclass(frozen=True)
class Scene:
    """A pair of frames (h, w) uint8 and what is true of it.

    flow: (2, h, w) px. head: the part of it, (2, h, w) px or broadcast to it, that is motion of the whole head.
    supports: (k, h, w), where each of k bumps is. calm: where no bump is. strain: (h, w), the flow's magnitude.
    visible, smooth: as in `Truth`. band: beside an outline or an edge. bound_px: of a bump's amplitude,
    by Cramer and Rao, in shots that measure scatter.
    """

    shot: Shot
    frame0: NDArray[np.uint8]
    frame1: NDArray[np.uint8]
    flow: Flow
    head: Flow
    supports: Mask
    calm: Mask
    strain: Flow
    visible: Mask
    smooth: Mask
    band: Mask
    bound_px: float


_FIELDS = [name for name in Scene.__dataclass_fields__ if name != "shot"]


def scenes(wanted: Iterable[Shot]) -> Iterator[Scene]:
    """The shots' scenes in order, from build/study where they are kept."""
    for shot in wanted:
        path = KEPT / f"scene-{digest(shot)}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            scene = stage(shot)
            part = path.with_suffix(".part.npz")
            np.savez(part, **{name: getattr(scene, name) for name in _FIELDS})
            part.replace(path)
        with np.load(path) as kept:
            fields = {name: kept[name] for name in _FIELDS}
        yield Scene(shot, **{**fields, "bound_px": float(fields["bound_px"])})


def digest(shot: Shot) -> str:
    """Of the shot and of all code that makes its scene."""
    return hashlib.sha256((_code() + repr(shot)).encode()).hexdigest()[:20]


@lru_cache(maxsize=1)
def _code() -> str:
    here = Path(__file__).parent
    sources = [here / f"{name}.py" for name in ("faces", "motions", "recording", "scenes", "stage")]
    sources += sorted(Path(flowkit.synthetic.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def stage(shot: Shot) -> Scene:
    """Render a pair, record it, and work out its truth."""
    made, clean, truth, head = clean_frames(shot.clean())
    rng = np.random.default_rng([shot.seed, shot.take, *(f"{shot.light}/{shot.codec}/{shot.noise}".encode())])
    second = relight(clean[1], shot.light, rng) if shot.light else clean[1]
    frame0, frame1 = record((clean[0], second), shot.noise, shot.codec, rng)
    length = np.hypot(*(truth.flow - head))
    supports = _supports(made, length)
    return Scene(
        shot=shot,
        frame0=frame0,
        frame1=frame1,
        flow=truth.flow,
        head=head,
        supports=supports,
        calm=(length < CALM * length.max()) & truth.visible if made.places else truth.visible & (length == 0),
        strain=truth.strain,
        visible=truth.visible,
        smooth=truth.smooth,
        band=_band(shot, truth),
        bound_px=bump_bound_px(shot, truth.flow - head) if shot.measure == "scatter" else float("nan"),
    )


@lru_cache(maxsize=4)
def clean_frames(shot: Shot) -> tuple[Setting, tuple[NDArray[np.float32], ...], Truth, Flow]:
    made = setting(shot)
    frames = tuple(render(made.layers, i, shot.size) for i in (0, 1))
    truth = true_flow(made.layers, shot.size)
    none = np.zeros((2, 1, 1), np.float32)
    return made, frames, truth, none if made.head is None else true_flow(made.head, shot.size).flow


def _supports(made: Setting, length: NDArray[np.floating]) -> Mask:
    """Of two bumps each has the half of the frame that is nearer to it, and its own largest displacement."""
    y, x = np.indices(length.shape)
    distances = np.array([np.hypot(x - place[0], y - place[1]) for place in made.places]).reshape(-1, *length.shape)
    nearest = distances == distances.min(axis=0) if made.places else np.zeros((0, *length.shape), bool)
    return np.array([near & (length > SUPPORT * length[near].max()) for near in nearest]).reshape(-1, *length.shape)


def _band(shot: Shot, truth: Truth) -> Mask:
    """The background within BAND_PX of the head; both sides of an edge of lids or lips where they move."""
    owner = truth.owner.astype(np.uint8)
    edge = cv2.dilate(owner, np.ones((3, 3))) != cv2.erode(owner, np.ones((3, 3)))
    near = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, 5) <= BAND_PX
    if shot.kind == "outline":
        return near & truth.visible & (owner == 0)
    moved = np.hypot(*(truth.flow - np.median(truth.flow, axis=(1, 2), keepdims=True))) > SUPPORT * shot.amplitude_px
    around = cv2.dilate(moved.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))) > 0
    return near & truth.visible & around


def bound_px(slope: NDArray[np.floating], basis: NDArray[np.floating], noise: float) -> float:
    """Cramer and Rao's least standard deviation, px, of the amplitude of a motion whose place and shape are known.

    Args:
        slope: of frame 0 (2, h, w), grey levels a px, as `scenes.slopes` has it.
        basis: the motion of amplitude 1 px (2, h, w). A pixel of I0 - I1 changes by slope . basis with the amplitude.
        noise: sigma in grey levels; both frames have it and are rounded.
    """
    return float(np.sqrt(2 * (noise**2 + QUANTISATION) / np.sum(np.sum(slope * basis, axis=0) ** 2)))


def bump_bound_px(shot: Shot, local: Flow) -> float:
    """The bound of a bump's amplitude, from its displacement (2, h, w)."""
    return bound_px(first_slopes(shot), local / np.hypot(*local).max(), shot.noise)


def first_slopes(shot: Shot) -> NDArray[np.float64]:
    """Slopes (2, h, w) of frame 0 of bumps, which show the same there by whatever they move."""
    return _slopes(dataclasses.replace(shot.clean(), amplitude_px=1.0))


@lru_cache(maxsize=4)
def _slopes(shot: Shot) -> NDArray[np.float64]:
    return slopes(setting(shot).layers, shot.size)
