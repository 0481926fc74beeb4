"""What a call needs beyond its images and its result, and whether many calls need more: in a fresh process each.

Reads Linux's /proc; elsewhere nothing is measured.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import flowkit
from benchmarks.grid import MEMORY, PRESETS
from flowkit.bench import Size

CALLS = 10_000
STATUS, PEAK_RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def run() -> Iterator[dict[str, object]]:
    """Rows with `bytes_per_pixel_per_thread` of a preset, size and number of threads, or `grown_bytes` of a preset."""
    if not STATUS.exists():
        return
    for preset in PRESETS:
        for size in MEMORY:
            for threads in (1, 2):
                yield _in_a_process("peak", preset, str(size), str(threads))
        yield _in_a_process("growth", preset)


def peak(preset: str, size: Size, threads: int) -> dict[str, object]:
    frames0, frames1 = _frames(size, threads), _frames(size, threads, shift=0.5)
    flowkit.tvl1_flow(frames0[:, :16, :16], frames1[:, :16, :16], preset=preset, threads=threads)
    PEAK_RESET.write_text("5")
    before = _status_bytes("VmRSS")
    flow = flowkit.tvl1_flow(frames0, frames1, preset=preset, threads=threads)
    extra = _status_bytes("VmHWM") - before - flow.nbytes
    row = {"preset": preset, "size": str(size), "threads": threads}
    return row | {"bytes_per_pixel_per_thread": round(extra / size.pixels / threads, 1)}


def growth(preset: str) -> dict[str, object]:
    """Two sizes in turn, pairs on two threads."""
    batches = [(_frames(size, 2), _frames(size, 2, shift=0.5)) for size in (Size(32, 32), Size(24, 40))]

    def call(times: int) -> None:
        for number in range(times):
            flowkit.tvl1_flow(*batches[number % 2], preset=preset, threads=2)

    call(CALLS // 20)
    before = _status_bytes("VmRSS")
    call(CALLS)
    return {"preset": preset, "calls": CALLS, "grown_bytes": _status_bytes("VmRSS") - before}


def _frames(size: Size, count: int, shift: float = 0.0) -> np.ndarray:
    """(count, h, w) uint8 of a smooth pattern, moved by `shift` px."""
    y, x = np.arange(size.height)[:, None], np.arange(size.width) - shift
    pattern = 127 + 60 * np.sin(x / 5) * np.cos(y / 7)
    return np.repeat(pattern.astype(np.uint8)[None], count, axis=0)


def _status_bytes(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    assert found, f"no {name} in {STATUS}"
    return 1024 * int(found[1])


def _in_a_process(*arguments: str) -> dict[str, object]:
    command = [sys.executable, "-m", "benchmarks.bench_memory", *arguments]
    row: dict[str, object] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return row


if __name__ == "__main__":
    what, preset, *rest = sys.argv[1:]
    print(json.dumps(growth(preset) if what == "growth" else peak(preset, Size.parse(rest[0]), int(rest[1]))))
