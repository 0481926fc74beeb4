"""The measurements as a table to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowkit.bench.methods import DIS_MEDIUM, DUAL_TVL1
from flowkit.bench.timing import Measurement

COLUMNS = ("method", "ms each", "from", "to", "per s")


def lines(block: Sequence[Measurement]) -> Iterator[str]:
    """One size and number of threads: a heading, the columns' names, and a line a method."""
    first = block[0]
    threads = "1 thread" if first.threads == 1 else f"{first.threads} threads, {first.items} a call"
    yield f"{first.size}, {threads}"
    rows = [cells(m, reference_peers(block)) for m in block]
    header = headings(reference_peers(block))
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        first_cell, *numbers = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join([first_cell.strip().ljust(widths[0]), *numbers])


def reference_peers(block: Sequence[Measurement]) -> list[str]:
    """The peers that a table has a column of ratios for: the usual two, or else the first."""
    peers = list(dict.fromkeys(other for m in block for other in m.times_as_fast_as))
    return [peer for peer in (DUAL_TVL1, DIS_MEDIUM) if peer in peers] or peers[:1]


def headings(peers: Sequence[str]) -> list[str]:
    return [*COLUMNS, *(f"x {peer.removeprefix('cv2 ')}" for peer in peers), "error, px"]


def cells(m: Measurement, peers: Sequence[str]) -> list[str]:
    """One row under `headings`; a method is once as fast as itself."""
    times = [f"{1e3 * seconds:.{2 if m.seconds < 0.1 else 0}f}" for seconds in (m.seconds, m.fastest, m.slowest)]
    ratios = [_ratio(1.0 if peer == m.method else m.times_as_fast_as.get(peer)) for peer in peers]
    rate = f"{1 / m.seconds:.{1 if m.seconds > 0.02 else 0}f}"
    return [m.method, *times, rate, *ratios, "" if m.error_px is None else f"{m.error_px:.4f}"]


def _ratio(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2g}" if value < 1 else f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"
