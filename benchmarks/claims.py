"""What flowkit claims about its speed, as sentences with what was measured, and whether they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.bench_scaling import SUFFIX
from benchmarks.grid import PRESETS
from flowkit.bench import Measurement, Size, plotted
from flowkit.bench.methods import DIS_MEDIUM, DUAL_TVL1, OPENCV


class Claim(NamedTuple):
    words: str
    measured: str
    holds: bool


class Results:
    """The measurements of a full run, by method, size and number of threads."""

    def __init__(self, measured: Sequence[Measurement], memory: Sequence[Mapping[str, Any]]) -> None:
        self.measured, self.memory = measured, memory
        self._by = {(m.method, m.size, m.threads): m for m in measured}

    def __call__(self, method: str, size: str, threads: int = 1) -> Measurement:
        return self._by[method, size, threads]


def claims(measured: Sequence[Measurement], memory: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """All claims that a full run can judge; those on threads and memory where they were measured."""
    found = Results(measured, memory)
    return [*_against_opencv(found), *_against_dis(found), *_threads(found), *_linear(found), *_memory(found)]


def _against_opencv(found: Results) -> Iterator[Claim]:
    for size, least in (("128x128", 28), ("224x224", 35), ("256x256", 35), ("640x480", 28)):
        ratio = found(OPENCV, size).times_as_fast_as[DUAL_TVL1]
        words = f"preset opencv, {size}: at least {least} times as fast as {DUAL_TVL1}, one thread"
        yield Claim(words, f"{ratio:.1f}", ratio >= least)
    difference = max(m.differs_by[DUAL_TVL1] for m in found.measured if DUAL_TVL1 in m.differs_by)
    words = f"preset opencv, every size: less than 0.01 px from {DUAL_TVL1}"
    yield Claim(words, f"{difference:.2g} px", difference < 0.01)
    seconds = found(OPENCV, "1920x1080").seconds
    yield Claim("preset opencv, 1920x1080: at most 1.5 s", f"{seconds:.2f} s", seconds <= 1.5)
    ratio = found("flowkit micro", "224x224").times_as_fast_as[DUAL_TVL1]
    ratio /= found(OPENCV, "224x224").times_as_fast_as[DUAL_TVL1]
    yield Claim("preset micro, 224x224: at most the time of preset opencv", f"1/{ratio:.2f}", ratio >= 1)


def _against_dis(found: Results) -> Iterator[Claim]:
    for size in ("224x224", "340x280"):
        fast, dis = found("flowkit fast", size), found(DIS_MEDIUM, size)
        time = 1 / fast.times_as_fast_as[DIS_MEDIUM]
        yield Claim(f"preset fast, {size}: at most 1.2 times the time of {DIS_MEDIUM}", f"{time:.2f}", time <= 1.2)
        errors = [fast.errors_px[a] / dis.errors_px[a] for a in dis.errors_px]
        words = f"preset fast, {size}: less error than {DIS_MEDIUM} at every amplitude"
        yield Claim(words, f"{min(errors):.2f} to {max(errors):.2f} of it", max(errors) < 1)
    beaten = [f"{m.method} by {other.method}" for m, other in beaten_by_peers(plotted(found.measured))]
    words = "224x224: no peer is both faster and more accurate than preset opencv, micro or fast"
    yield Claim(words, ", ".join(beaten) or "none", not beaten)


def beaten_by_peers(block: Sequence[Measurement]) -> list[tuple[Measurement, Measurement]]:
    """Presets with a peer that takes less time and has less error."""
    ours = [m for m in block if m.method.removeprefix("flowkit ") in PRESETS]
    peers = [m for m in block if not m.method.startswith("flowkit ")]
    return [(m, peer) for m in ours for peer in peers if peer.seconds < m.seconds and peer.error_px < m.error_px]


def _threads(found: Results) -> Iterator[Claim]:
    for m in found.measured:
        if (m.size, m.threads) == ("224x224", 2) and m.method.endswith("batch"):
            ratio = m.times_as_fast_as["one thread"]
            words = f"preset {m.method.split()[1]}, batch, 224x224: two threads at least 1.8 times as fast as one"
            yield Claim(words, f"{ratio:.2f}", ratio >= 1.8)


def time_per_pixel(measured: Sequence[Measurement], method: str) -> dict[str, float]:
    """Nanoseconds a pixel and pair on one thread, by size."""
    mine = [m for m in measured if (m.method, m.threads) == (method, 1)]
    return {m.size: 1e9 * m.seconds / Size.parse(m.size).pixels for m in mine}


def _linear(found: Results) -> Iterator[Claim]:
    """Against the line through the origin that is nearest to all sizes, and, harder, against the time at 224x224."""
    for preset in PRESETS:
        by_size = time_per_pixel(found.measured, f"flowkit {preset}{SUFFIX}")
        times = by_size.values()
        line = (max(times) - min(times)) / (max(times) + min(times))
        face = max(abs(nanoseconds / by_size["224x224"] - 1) for nanoseconds in times)
        words = f"preset {preset}, same iterations, 64x64 to 1920x1080: time within 30 % of"
        span = f"({min(times):.0f} to {max(times):.0f} ns a pixel)"
        yield Claim(f"{words} a line through the pixels", f"{100 * line:.0f} % {span}", line <= 0.3)
        yield Claim(f"{words} that at 224x224, a pixel", f"{100 * face:.0f} %", face <= 0.3)


def _memory(found: Results) -> Iterator[Claim]:
    peaks = [row["bytes_per_pixel_per_thread"] for row in found.memory if "size" in row]
    grown = [row["grown_bytes"] for row in found.memory if "grown_bytes" in row]
    if peaks:
        words = "memory beyond images and result: less than 80 bytes a pixel a thread"
        yield Claim(words, f"{min(peaks):.0f} to {max(peaks):.0f}", max(peaks) < 80)
    if grown:
        yield Claim("memory grown after 10,000 calls: none", f"{max(grown) // 1024} KiB", max(grown) <= 128 * 1024)
