"""The whole benchmark of `flowkit bench`: sizes by threads, and how much of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from flowkit.bench.document import document
from flowkit.bench.measure import measure
from flowkit.bench.methods import Method, presets
from flowkit.bench.methods import peers as peers_named
from flowkit.bench.pairs import AMPLITUDES_PX, IDENTITIES, FacialPair, Size, facial_pairs
from flowkit.bench.plot import plot, require_matplotlib
from flowkit.bench.table import lines
from flowkit.bench.timing import Measurement
from flowkit.errors import InputError, OutputError
from flowkit.frames.prepare import single_threaded_opencv
from flowkit.motion.flow import thread_count

FEW_AMPLITUDES_PX = (0.5, 2.0)
BATCH_ROUNDS = 3
LARGE_PIXELS = 1_000_000
"""Above it cv2 takes half a minute a pair, and a warm-up is not worth its time."""
SMALLEST_PX = 32
"""A side: cv2's DIS ends the process on frames that are wide and lower, and below 24 px the motions that are measured
would fold a face over."""
PLOTTED = "224x224"


def command(
    against: str | None, sizes: str, threads: str, out: Path | None, picture: Path | None, say: Callable[[str], None]
) -> None:
    """What `flowkit bench` does with its options; `say` gets the table line by line.

    Raises:
        InputError: for an option that cannot be used.
        OutputError: where a file cannot be written.
        WrongAnswer: as `flowkit.bench.measure`.
    """
    names = None if against is None else [name.strip() for name in against.split(",")]
    wanted, counts = parse_sizes(sizes), parse_threads(threads)
    for file in (file for file in (out, picture) if file and not file.parent.is_dir()):
        raise OutputError(f"{file}: there is no folder {file.parent}; make it first")
    if picture:
        require_matplotlib()
    peers, absent = peers_named(names)
    for name, reason in absent.items():
        say(f"without {name}: {reason}")
    measured = []
    for block in bench(wanted, counts, peers):
        say("")
        for line in lines(block):
            say(line)
        measured += block
    if out:
        out.write_text(json.dumps(document(measured, absent), indent=1) + "\n")
        say(f"-> {out}")
    if picture:
        plot(plotted(measured), picture)
        say(f"-> {picture}")


def plotted(measured: Sequence[Measurement]) -> list[Measurement]:
    """The block for the picture: 224x224 if it was measured, else the first size, on the fewest threads."""
    flows = [m for m in measured if m.error_px is not None]
    size = PLOTTED if any(m.size == PLOTTED for m in flows) else flows[0].size
    threads = min(m.threads for m in flows if m.size == size)
    return [m for m in flows if (m.size, m.threads) == (size, threads)]


def bench(sizes: Sequence[Size], threads: Sequence[int], peers: Sequence[Method]) -> Iterator[list[Measurement]]:
    """Every preset and these peers, one list for each size and number of threads.

    Raises:
        WrongAnswer: as `flowkit.bench.measure`.
    """
    methods, others = [*presets(), *peers], [peer.name for peer in peers]
    for size in sizes:
        with single_threaded_opencv():
            pairs = pairs_for(size)
        for count in threads:
            yield _bench(size, count, methods, others, pairs)


def pairs_for(size: Size) -> list[FacialPair]:
    """Eight pairs, fewer where cv2 takes seconds: four above 0.1 Mpx, two above `LARGE_PIXELS`."""
    if size.pixels <= 100_000:
        return facial_pairs(size, AMPLITUDES_PX)
    return facial_pairs(size, FEW_AMPLITUDES_PX, IDENTITIES if size.pixels <= LARGE_PIXELS else IDENTITIES[:1])


def _bench(
    size: Size, threads: int, methods: Sequence[Method], others: Sequence[str], pairs: list[FacialPair]
) -> list[Measurement]:
    if threads > 1:
        batch = pairs * -(-2 * threads // len(pairs))
        return measure(methods, others, batch, threads=threads, rounds=BATCH_ROUNDS)
    passes = 2 if size.pixels <= 70_000 else 1
    return measure(methods, others, pairs, rounds=passes * len(pairs), warm_up=size.pixels <= LARGE_PIXELS)


def parse_sizes(text: str) -> list[Size]:
    """Sizes from "64,224,340x280" (width x height); else an InputError."""
    sizes = [Size.parse(part.strip()) for part in text.split(",")]
    for size in sizes:
        if min(size.height, size.width) < SMALLEST_PX:
            raise InputError(f"--sizes {text}: {size} is too small to compare on; give at least {SMALLEST_PX} px")
    return sizes


def parse_threads(text: str) -> list[int]:
    """Numbers of threads from "1,all", each once; else an InputError."""
    counts = []
    for part in (part.strip() for part in text.split(",")):
        if part != "all" and not (part.isdecimal() and int(part) >= 1):
            raise InputError(f"--threads {text}: {part!r} is neither a whole number of at least 1 nor 'all'")
        counts.append(thread_count(None) if part == "all" else int(part))
    return list(dict.fromkeys(counts))
