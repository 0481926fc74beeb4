"""What the study looks at: every pair of frames of a set, described; `stage.py` makes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.study.faces import SEEDS, Look, Set, looks
from benchmarks.study.recording import CODECS, LIGHTS

SIDE = (224, 224)
SIGMAS_PX = (5.0, 8.0, 14.0)
BUMP_AMPLITUDES_PX = (0.2, 0.5, 2.0)
SIDE_AMPLITUDES_PX, SIDE_RATIOS = (0.2, 0.5, 1.0), (1.0, 0.7, 0.5)
FAMILY_AMPLITUDES_PX, LARGE_PX = (0.2, 0.5, 1.0, 2.0), (5.0, 10.0)
FAMILIES = ("expression", "blink", "head", "lips", "turn", "expression", "shift", "nod")
EDGES = ("outline", "blink", "lips")
HEADS = ("head 1", "head 2", "head 3", "head turn", "head zoom", "head all")
NOISES = (0.5, 1.0, 2.0, 4.0)
TAKES = 8
"""Takes of one scene, noise apart, from which scatter is estimated."""
HEADINGS = ("across", "down", "aslant")


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One pair of frames: what it is to measure, what moves by how much, and how it is recorded.

    Shots that differ in nothing but `measure`, `light`, `noise`, `codec` and `take` show the same clean frames.
    """

    measure: str
    kind: str
    look: Look
    seed: int
    amplitude_px: float = 0.0
    sigma_px: float = 0.0
    heading: str = "across"
    ratio: float = 1.0
    size: tuple[int, int] = SIDE
    light: str = ""
    noise: float = 1.0
    codec: str = ""
    take: int = 0

    def clean(self) -> Shot:
        """The shot that tells nothing but what there is to see."""
        return dataclasses.replace(self, measure="", light="", noise=0.0, codec="", take=0)


def shots(which: Set, each: int = 8) -> tuple[Shot, ...]:
    """All pairs of a set; `each` is how often a look, a place or a seed is drawn for every combination."""
    draw = _Draw(which, each)
    return (
        *_bumps(draw),
        *_sides(draw),
        *_lights(draw),
        *_edges(draw),
        *_heads(draw),
        *_stills(draw),
        *_scatter(draw),
        *_families(draw),
        *_coded(draw),
        *_noisy(draw),
    )


class _Draw:
    """Seeds that count up from the set's, and the looks in turn."""

    def __init__(self, which: Set, each: int) -> None:
        self.looks, self.next, self.each = looks(which), SEEDS[which], each
        self.rng = np.random.default_rng(SEEDS[which] + 1)

    def seed(self) -> int:
        self.next += 1
        return self.next

    def turns(self, count: int) -> Iterator[tuple[Look, str, int]]:
        """Looks, headings and seeds: looks each as often as any other, in random order."""
        order = spread(self.looks, count, self.rng)
        for k, look in enumerate(order):
            yield look, HEADINGS[k % 3], self.seed()


def spread(choices: Sequence[Any], count: int, rng: np.random.Generator) -> list[Any]:
    """`count` of the choices in random order, each as often as any other, give or take one."""
    taken: list[Any] = []
    while len(taken) < count:
        taken += [choices[k] for k in rng.permutation(len(choices))]
    return taken[:count]


def _bumps(draw: _Draw) -> Iterator[Shot]:
    """Places and looks are the same for every amplitude, so that linearity compares like with like."""
    for sigma in SIGMAS_PX:
        for look, heading, seed in draw.turns(draw.each + draw.each // 2):
            for amplitude in BUMP_AMPLITUDES_PX:
                yield Shot(
                    measure="bump",
                    kind="bump",
                    look=look,
                    seed=seed,
                    amplitude_px=amplitude,
                    sigma_px=sigma,
                    heading=heading,
                )


def _sides(draw: _Draw) -> Iterator[Shot]:
    for ratio in SIDE_RATIOS:
        for look, heading, seed in draw.turns(draw.each):
            for amplitude in SIDE_AMPLITUDES_PX:
                yield Shot(
                    measure="sides",
                    kind="sides",
                    look=look,
                    seed=seed,
                    amplitude_px=amplitude,
                    sigma_px=8.0,
                    heading=heading,
                    ratio=ratio,
                )


def _lights(draw: _Draw) -> Iterator[Shot]:
    for look, heading, seed in draw.turns(draw.each):
        for light in LIGHTS:
            yield Shot(measure="light", kind="still", look=look, seed=seed, light=light)
        for light in LIGHTS[:-1]:
            yield Shot(
                measure="lit bump",
                kind="bump",
                look=look,
                seed=seed,
                amplitude_px=0.5,
                sigma_px=8.0,
                heading=heading,
                light=light,
            )


def _edges(draw: _Draw) -> Iterator[Shot]:
    for kind in EDGES:
        for look, _, seed in draw.turns(draw.each):
            yield Shot(measure="edge", kind=kind, look=look, seed=seed, amplitude_px=1.0)


def _heads(draw: _Draw) -> Iterator[Shot]:
    for kind in HEADS:
        for look, heading, seed in draw.turns(draw.each // 2):
            yield Shot(
                measure="head",
                kind=kind,
                look=look,
                seed=seed,
                amplitude_px=0.5,
                sigma_px=float(draw.rng.choice(SIGMAS_PX)),
                heading=heading,
            )


def _stills(draw: _Draw) -> Iterator[Shot]:
    for look, _, seed in draw.turns(draw.each):
        for noise in NOISES:
            yield Shot(measure="still", kind="still", look=look, seed=seed, noise=noise)


def _scatter(draw: _Draw) -> Iterator[Shot]:
    for look, heading, seed in draw.turns(draw.each // 2):
        for take in range(TAKES):
            yield Shot(
                measure="scatter",
                kind="bump",
                look=look,
                seed=seed,
                amplitude_px=0.5,
                sigma_px=8.0,
                heading=heading,
                take=take,
            )


def _families(draw: _Draw) -> Iterator[Shot]:
    """All kinds of motion, sizes, noises and JPEG qualities, as a data set has them."""
    for amplitude in (*FAMILY_AMPLITUDES_PX, *LARGE_PX):
        count = draw.each if amplitude <= 2 else max(1, draw.each // 2)
        sizes = [SIDE, (280, 340)] if amplitude > 2 else [SIDE, (128, 128), (280, 340), (256, 256), (112, 112)]
        choices = (FAMILIES, draw.looks, sizes, (0.5, 1.0, 1.5, 2.0, 3.0), ("", "jpeg 95", "jpeg 80", "jpeg 90"))
        columns = [spread(choice, count, draw.rng) for choice in choices]
        for kind, look, size, noise, codec in zip(*columns, strict=True):
            yield Shot(
                measure="family",
                kind=kind,
                look=look,
                seed=draw.seed(),
                amplitude_px=amplitude,
                size=size,
                noise=noise,
                codec=codec,
            )


def _coded(draw: _Draw) -> Iterator[Shot]:
    for look, heading, seed in draw.turns(draw.each):
        for codec in CODECS:
            yield Shot(measure="codec", kind="still", look=look, seed=seed, codec=codec)
            yield Shot(
                measure="codec",
                kind="bump",
                look=look,
                seed=seed,
                amplitude_px=0.5,
                sigma_px=8.0,
                heading=heading,
                codec=codec,
            )


def _noisy(draw: _Draw) -> Iterator[Shot]:
    for look, heading, seed in draw.turns(draw.each):
        for noise in NOISES:
            yield Shot(
                measure="noisy bump",
                kind="bump",
                look=look,
                seed=seed,
                amplitude_px=0.5,
                sigma_px=8.0,
                heading=heading,
                noise=noise,
            )
