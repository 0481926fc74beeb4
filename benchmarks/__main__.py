"""Runs the benchmarks, prints a table, writes JSON, and with --check compares the ratios with those on record."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import cv2

import flowkit.types
from benchmarks import bench_flow, bench_strain
from benchmarks.grid import Measurement
from flowkit import _core

FOLDER = Path(__file__).parent
RECORD = FOLDER / "ratios.json"
"""For each SIMD level, the ratio to the peer that each measurement must not fall below."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="one size, a few pairs, under a minute")
    parser.add_argument("--check", action="store_true", help=f"fail where a ratio is below the one in {RECORD.name}")
    parser.add_argument("--out", type=Path, help="write the measurements as JSON to this file")
    options = parser.parse_args()
    print(f"{_core.simd_level()}, OpenCV {cv2.__version__}, {platform.machine()}\n")
    print(f"{'method':24} {'size':>5} {'thr':>3} {'ms/item':>9} {'min':>9} {'max':>9} {'x peer':>8}  error, px")
    measured = []
    for bench in (bench_flow, bench_strain):
        for m in bench.run(options.short):
            measured.append(m)
            print(_row(m), flush=True)
    if options.out:
        options.out.write_text(json.dumps(_document(measured), indent=1) + "\n")
    return _check(measured) if options.check else 0


def _row(m: Measurement) -> str:
    errors = ", ".join(f"{name} {value:.4f}" for name, value in m.error.items())
    times = " ".join(f"{1e3 * seconds:9.2f}" for seconds in (m.seconds, m.fastest, m.slowest))
    return f"{m.method:24} {m.size:5} {m.threads:3} {times} {m.speed_to_peer:8.1f}  {errors}"


def _document(measured: list[Measurement]) -> dict[str, object]:
    return {
        "flowkit": _core.version,
        "simd": _core.simd_level(),
        "opencv": cv2.__version__,
        "machine": platform.machine(),
        "processor": _processor(),
        "date": datetime.now(UTC).date().isoformat(),
        "presets": {name: params.to_dict() for name, params in flowkit.types.PRESETS.items()},
        "measurements": [m.to_dict() for m in measured],
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _check(measured: list[Measurement]) -> int:
    least = json.loads(RECORD.read_text()).get(_core.simd_level())
    if least is None:
        print(f"\nno ratios on record for {_core.simd_level()}: nothing to compare with")
        return 0
    slow = [m for m in measured if m.key in least and m.speed_to_peer < least[m.key]]
    for m in slow:
        print(f"\n{m.key}: {m.speed_to_peer:.2f} times {m.peer}, at least {least[m.key]} on record", file=sys.stderr)
    if not slow:
        print("\nall ratios to the peers are at least those on record")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
