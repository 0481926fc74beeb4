"""A batch on two threads, and on all, against the same on one, and single large pairs: the same bits, sooner."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import flowkit
from benchmarks.grid import PRESETS, sizes
from flowkit.bench import Measurement, Size, WrongAnswer, pairs_for, parse_threads, race, summary
from flowkit.bench.pairs import FacialPair
from flowkit.bench.run import LARGE_PIXELS

ALONE = "one thread"
ROUNDS = 5
LEAST_SHARED_PIXELS = 300_000
"""Of a pair that is worth several threads by itself."""


def run(short: bool) -> Iterator[list[Measurement]]:
    """A block a size and number of threads; none on a machine with one CPU. Raises WrongAnswer."""
    (every,) = parse_threads("all")
    for size in sizes(short):
        for threads in sorted({2, every}) if every > 1 else ():
            yield [_batch(preset, size, threads) for preset in (PRESETS[:1] if short else PRESETS)]
            if size.pixels >= LEAST_SHARED_PIXELS:
                yield [_one_pair(preset, size, threads) for preset in PRESETS]


def _batch(preset: str, size: Size, threads: int) -> Measurement:
    pairs = pairs_for(size)
    pairs = (pairs * threads)[: max(len(pairs), 2 * threads)]
    return _against_one_thread(f"flowkit {preset} batch", preset, pairs, threads, size)


def _one_pair(preset: str, size: Size, threads: int) -> Measurement:
    return _against_one_thread(f"flowkit {preset} one pair", preset, pairs_for(size)[:1], threads, size)


def _against_one_thread(name: str, preset: str, pairs: list[FacialPair], threads: int, size: Size) -> Measurement:
    frames0, frames1 = np.stack([pair.frame0 for pair in pairs]), np.stack([pair.frame1 for pair in pairs])
    calls = {
        name: lambda _: flowkit.tvl1_flow(frames0, frames1, preset=preset, threads=threads),
        ALONE: lambda _: flowkit.tvl1_flow(frames0, frames1, preset=preset, threads=1),
    }
    seconds: dict[str, list[float]] = {call: [] for call in calls}
    rounds, warm_up = (ROUNDS, True) if size.pixels <= LARGE_PIXELS else (2, False)
    for answers in race(calls, rounds, warm_up=warm_up):
        for call, (taken, _) in answers.items():
            seconds[call].append(taken)
        if not np.array_equal(answers[name][1], answers[ALONE][1]):
            raise WrongAnswer(f"{name} at {size}: {threads} threads give other bits than one")
    return summary(name, seconds, [ALONE], len(pairs), size=str(size), threads=threads, differs_by={ALONE: 0.0})
