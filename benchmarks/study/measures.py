"""The small named measures of the study: what one flow of one scene says, and the rows that many of them make.

Nothing here is an endpoint error without the gain beside it: a method that shrinks what it sees gains by the first and
loses by the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np

import flowkit
from benchmarks.study.scenes import lattice
from benchmarks.study.stage import Flow, Mask, Scene

SIDE_FLOOR = 0.05
"""A side recovered with less than this share of its amplitude, or turned round, counts as this share of it."""

MUSCLES = ("expression", "blink", "lips")
"""Families whose strain is that of a face; of a head as a whole it is next to none."""

Sample = tuple[str, float]


def gain(flow: Flow, truth: Flow, where: Mask) -> float:
    """Recovered over true amplitude: least squares of (2, h, w) on (2, h, w) over `where`."""
    found, true = flow[:, where].astype(np.float64), truth[:, where].astype(np.float64)
    return float(np.sum(found * true) / np.sum(true * true))


def error_px(flow: Flow, truth: Flow, where: Mask) -> float:
    """Mean length of the difference over `where`, px."""
    return float(np.hypot(*(flow[:, where] - truth[:, where])).mean())


def side_error(gains: Sequence[float]) -> float:
    """|ln| of the recovered ratio of two sides over the true one; a side that vanishes is lifted to SIDE_FLOOR.

    Two that vanish say nothing of their ratio: they count as one beside a whole one, or a method that reports nothing
    would be perfect.
    """
    if max(gains) <= SIDE_FLOOR:
        return float(-np.log(SIDE_FLOOR))
    first, second = (max(SIDE_FLOOR, g) for g in gains)
    return float(abs(np.log(first / second)))


def strain_magnitude(flow: Flow) -> Flow:
    """Of a flow (2, h, w) px, (h, w), 1."""
    return flowkit.strain_magnitude(np.ascontiguousarray(flow, dtype=np.float32), threads=1)


def strained(scene: Scene) -> Mask:
    """Where there is strain to find: above a tenth of its largest, away from edges."""
    return scene.smooth & (scene.strain > 0.1 * scene.strain[scene.smooth].max())


def return_error_px(forth: Flow, back: Flow) -> float:
    """Mean distance of a point from itself after going forth and back, px, where it stays in the frame."""
    height, width = forth.shape[1:]
    x, y = (lattice(height, width) + forth).astype(np.float32)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    home = np.stack([cv2.remap(part, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for part in back])
    return float(np.hypot(*(forth + home))[inside].mean())


def samples(scene: Scene, flow: Flow) -> Iterator[Sample]:
    """What a flow (2, h, w) says of its scene: names of rows and values."""
    yield from _SAMPLES[scene.shot.measure](scene, flow)


def _local(scene: Scene, flow: Flow) -> list[float]:
    return [gain(flow - scene.head, scene.flow - scene.head, support) for support in scene.supports]


def _bump(scene: Scene, flow: Flow) -> Iterator[Sample]:
    amplitude, sigma = f"{scene.shot.amplitude_px:g}", f"{scene.shot.sigma_px:g}"
    (found,) = _local(scene, flow)
    yield f"gain {amplitude}", found
    yield f"gain {amplitude} sigma {sigma}", found
    yield f"gain {amplitude} {scene.shot.heading}", found
    yield f"moving {amplitude}", error_px(flow, scene.flow, scene.supports[0])
    yield f"calm {amplitude}", error_px(flow, scene.flow, scene.calm)


def _sides(scene: Scene, flow: Flow) -> Iterator[Sample]:
    gains = _local(scene, flow)
    yield f"sides {scene.shot.amplitude_px:g}", side_error(gains)
    yield f"sides {scene.shot.amplitude_px:g} ratio {scene.shot.ratio:g}", side_error(gains)
    yield f"sides lost {scene.shot.amplitude_px:g}", float(min(gains) <= SIDE_FLOOR)


def _light(scene: Scene, flow: Flow) -> Iterator[Sample]:
    yield f"light {scene.shot.light}", error_px(flow, scene.flow, scene.visible)


def _lit_bump(scene: Scene, flow: Flow) -> Iterator[Sample]:
    yield "lit gain", _local(scene, flow)[0]
    yield "lit error", error_px(flow, scene.flow, scene.visible)


def _edge(scene: Scene, flow: Flow) -> Iterator[Sample]:
    yield scene.shot.kind, error_px(flow, scene.flow, scene.band)
    yield f"{scene.shot.kind} gain", gain(flow, scene.flow, _moving(scene))


def _head(scene: Scene, flow: Flow) -> Iterator[Sample]:
    found = _local(scene, flow)[0]
    yield "head gain", found
    yield f"{scene.shot.kind} gain", found
    yield "head error", error_px(flow, scene.flow, scene.visible)
    yield f"{scene.shot.kind} error", error_px(flow, scene.flow, scene.visible)


def _still(scene: Scene, flow: Flow) -> Iterator[Sample]:
    yield f"still {scene.shot.noise:g}", error_px(flow, scene.flow, scene.visible)


def _scatter(scene: Scene, flow: Flow) -> Iterator[Sample]:
    yield f"take {scene.shot.seed}", _local(scene, flow)[0] * scene.shot.amplitude_px
    yield f"bound {scene.shot.seed}", scene.bound_px


def _family(scene: Scene, flow: Flow) -> Iterator[Sample]:
    amplitude = f"{scene.shot.amplitude_px:g}"
    yield f"error {amplitude}", error_px(flow, scene.flow, scene.visible)
    yield f"error {scene.shot.kind}", error_px(flow, scene.flow, scene.visible)
    strain, where = strain_magnitude(flow), strained(scene)
    yield f"strain {amplitude}", float(np.abs(strain - scene.strain)[scene.smooth].mean())
    if scene.shot.kind in MUSCLES:
        yield f"strain there {amplitude}", float(np.abs(strain - scene.strain)[where].mean())
        yield f"strain share {amplitude}", float(strain[where].mean() / scene.strain[where].mean())
    moving = _moving(scene)
    yield f"family gain {amplitude}", gain(flow, scene.flow, moving)
    yield f"family gain {scene.shot.kind}", gain(flow, scene.flow, moving)
    yield f"family moving {amplitude}", error_px(flow, scene.flow, moving)
    if (rest := scene.visible & ~moving).any():
        yield f"family still {amplitude}", error_px(flow, scene.flow, rest)


def _noisy_bump(scene: Scene, flow: Flow) -> Iterator[Sample]:
    yield f"gain noise {scene.shot.noise:g}", _local(scene, flow)[0]
    yield f"moving noise {scene.shot.noise:g}", error_px(flow, scene.flow, scene.supports[0])


def _moving(scene: Scene) -> Mask:
    return scene.visible & (np.hypot(*scene.flow) > 0.1 * scene.shot.amplitude_px)


def _codec(scene: Scene, flow: Flow) -> Iterator[Sample]:
    if scene.shot.kind == "still":
        yield f"still {scene.shot.codec}", error_px(flow, scene.flow, scene.visible)
    else:
        yield f"gain {scene.shot.codec}", _local(scene, flow)[0]
        yield f"moving {scene.shot.codec}", error_px(flow, scene.flow, scene.supports[0])


_SAMPLES = {
    "bump": _bump,
    "sides": _sides,
    "light": _light,
    "lit bump": _lit_bump,
    "edge": _edge,
    "head": _head,
    "still": _still,
    "scatter": _scatter,
    "family": _family,
    "codec": _codec,
    "noisy bump": _noisy_bump,
}


def rows(found: Iterable[Sample]) -> dict[str, float]:
    """The mean of the samples of each name, and what follows from several of them: linearity, scatter."""
    by_name: dict[str, list[float]] = {}
    for name, value in found:
        by_name.setdefault(name, []).append(value)
    takes = {name: values for name, values in by_name.items() if name.startswith("take ")}
    table = {name: float(np.mean(values)) for name, values in by_name.items() if not name.startswith(("take", "bound"))}
    if "gain 0.2" in table and table.get("gain 2"):  # who finds nothing has none
        table["linearity"] = table["gain 0.2"] / table["gain 2"]
    if takes:
        table |= _scatter_rows(takes, {name: by_name[name.replace("take", "bound")][0] for name in takes})
    return table


def _scatter_rows(takes: dict[str, list[float]], bounds: dict[str, float]) -> dict[str, float]:
    """Root mean square over scenes of the scatter over the bound, as it is and with the shrinkage undone."""
    spread = {name: float(np.std(values, ddof=1)) for name, values in takes.items()}
    gains = {name: max(SIDE_FLOOR, float(np.mean(values)) / 0.5) for name, values in takes.items()}
    raw = np.array([spread[name] / bounds[name] for name in takes])
    undone = np.array([spread[name] / gains[name] / bounds[name] for name in takes])
    return {
        "scatter px": float(np.mean(list(spread.values()))),
        "bound px": float(np.mean(list(bounds.values()))),
        "scatter over bound": float(np.sqrt(np.mean(raw**2))),
        "unshrunk scatter over bound": float(np.sqrt(np.mean(undone**2))),
    }
