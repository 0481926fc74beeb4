"""Every preset of flowkit and every peer on facial pairs: one thread, and a batch on all threads."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.grid import BATCHED, sizes
from flowkit.bench import Measurement, bench, parse_threads, peers


def run(short: bool) -> Iterator[list[Measurement]]:
    """A block a size and number of threads; raises WrongAnswer."""
    found, _ = peers()
    yield from bench(sizes(short), [1], found)
    every = [count for count in parse_threads("all") if count > 1]
    if not short and every:
        yield from bench(BATCHED, every, found)
