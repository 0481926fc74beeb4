"""Is `scatter_px` what another take of the same motion changes? The figures of docs/shards.md.

    python -m benchmarks.study_scatter [--takes 12]

A set is takes of one face with one motion, which differ by their noise alone: the standard deviation of the flow
over them, as a length and averaged over the frame, is what `scatter_px` of each take is to tell. Pairs are computed by
`micro`, and averages of 4 + 4 frames by `micro-phases`. The faces are others than those that the formula was fitted to
(1, 2, 3, 5, 6 and 7).
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowkit.motion.flow import tvl1_flow
from flowkit.motion.phase import average_phase
from flowkit.motion.quality import quality
from flowkit.synthetic.render import facial_pair

NOISES = (0.5, 1.0, 2.0, 4.0)
AMPLITUDES_PX = (0.0, 0.2, 1.0, 2.0)
SIZES = (96, 160, 224)
FACES = (0, 8)
"""The portrait and a drawn one, as `facial_pair` numbers them."""
CONTRASTS = (0.3, 1.0)
PHASE = 4
"""Frames that are averaged before and after."""

Take = Callable[[NDArray[np.float64], float, np.random.Generator], NDArray[np.float32]]
"""From a clean frame (h, w) and sigma, grey levels, to what is recorded of it, on 0 to 255."""


@dataclass(frozen=True, slots=True)
class Set:
    """Which takes, and what `scatter_px` says of them, of what they measure."""

    noise: float
    amplitude_px: float
    size: int
    contrast: float
    face: int
    ratio: float


def main() -> None:
    """Prints a table in Markdown, and the sets that lie farthest off."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--takes", type=int, default=12, help="of each set")
    takes = parser.parse_args().takes
    pairs = [
        _measured("micro", _frame, *chosen, takes)
        for chosen in itertools.product(NOISES, AMPLITUDES_PX, SIZES, CONTRASTS, FACES)
    ]
    averages = [
        _measured("micro-phases", _average, 1.0, *chosen, takes)
        for chosen in itertools.product(AMPLITUDES_PX, SIZES, CONTRASTS, FACES)
    ]
    print("| | sets | within 1.5 | within 2 | lowest | median | highest |\n|---|---|---|---|---|---|---|")
    for title, sets in (("one pair, `micro`", pairs), ("4 + 4 frames, `micro-phases`", averages)):
        print(_row(title, sets))
        for name in ("noise", "amplitude_px", "size", "contrast", "face"):
            for value in sorted({getattr(one, name) for one in sets}):
                print(_row(f"{name} {value:g}", [one for one in sets if getattr(one, name) == value]))
    print("\nthe farthest off:")
    for one in sorted(pairs, key=lambda one: -abs(np.log(one.ratio)))[:8]:
        print(one)


def _measured(
    preset: str, take: Take, noise: float, amplitude_px: float, size: int, contrast: float, face: int, takes: int
) -> Set:
    clean = [
        contrast * (frame.astype(float) - 128) + 128
        for frame in facial_pair(face, amplitude_px, size, face, noise=0.0, quality=None)[:2]
    ]
    rng = np.random.default_rng([face, size, round(10 * noise), round(10 * amplitude_px), round(10 * contrast)])
    frames0, frames1 = (np.stack([take(frame, noise, rng) for _ in range(takes)]) for frame in clean)
    flow = tvl1_flow(frames0, frames1, preset=preset, value_range=(0, 255))
    measured = np.sqrt(flow.var(axis=0, ddof=1).sum(axis=0)).mean()
    told = quality(frames0, frames1, flow, value_range=(0, 255)).scatter_px.mean()
    return Set(noise, amplitude_px, size, contrast, face, float(told / measured))


def _frame(clean: NDArray[np.float64], noise: float, rng: np.random.Generator) -> NDArray[np.float32]:
    return np.clip(np.rint(clean + noise * rng.standard_normal(clean.shape)), 0, 255).astype(np.float32)


def _average(clean: NDArray[np.float64], noise: float, rng: np.random.Generator) -> NDArray[np.float32]:
    frames = np.stack([_frame(clean, noise, rng) for _ in range(PHASE)])
    return average_phase(frames, value_range=(0, 255))


def _row(title: str, sets: Iterable[Set]) -> str:
    ratios = np.sort([one.ratio for one in sets])
    within = [int(((ratios > 1 / most) & (ratios < most)).sum()) for most in (1.5, 2.0)]
    spread = f"{ratios[0]:.2f} | {np.median(ratios):.2f} | {ratios[-1]:.2f}"
    return f"| {title} | {len(ratios)} | {within[0]} | {within[1]} | {spread} |"


if __name__ == "__main__":
    main()
