"""How long a large manifest takes: planned before its first part, planned alone, and found to have nothing left to do.

python -m benchmarks.bench_planning --rows 100000 --folder /some/disk

The clips share fifty small folders of frames, so that what is measured is the rows. Each command's count is checked.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

FOLDERS, FRAMES, SIDE = 50, 40, 16


def make(root: Path, rows: int) -> Path:
    """A manifest of so many clips, and the frames that they share."""
    texture = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE), np.uint8)
    for number in range(FOLDERS):
        folder = root / "frames" / f"{number:02d}"
        folder.mkdir(parents=True)
        for frame in range(1, FRAMES + 1):
            cv2.imwrite(str(folder / f"img{frame}.png"), np.roll(texture, frame % 5, axis=1))
    manifest = root / "manifest.csv"
    with manifest.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["clip_id", "source", "dataset", "subject", "onset", "apex", "offset", "emotion"])
        for row in range(rows):
            source, onset = row % FOLDERS, 1 + row // FOLDERS % (FRAMES // 2)
            apex = onset + 1 + row // 1000 % (FRAMES // 2 - 1)
            table.writerow(
                [f"clip{row}", f"frames/{source:02d}", "made", f"s{source}", onset, apex, FRAMES, "happiness"]
            )
    return manifest


def timed(say: str, *arguments: str) -> None:
    """Runs a flowkit command and prints what it took; it has to say this."""
    before, start = os.times(), time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "flowkit.cli", *arguments], capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - start, os.times()
    if say not in done.stdout + done.stderr:
        sys.exit(f"flowkit {' '.join(arguments)} said {(done.stdout + done.stderr)[-500:]!r}, not {say!r}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{wall:7.2f} s, {used:6.2f} s of CPU: flowkit {' '.join((arguments[0], *arguments[4:]))}")


def main() -> None:
    """Makes the manifest and times the commands."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--folder", type=Path, help="on whose disk to make the files")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        root = Path(folder)
        extract = ["extract", str(make(root, given.rows)), "-o", str(root / "out"), "--size", str(SIDE)]
        timed(f"{given.rows} pairs", *extract, "--dry-run")
        timed("are still to do", *extract, "--limit", "1")
        timed(f"{given.rows} computed", *extract)
        for _ in range(3):
            timed("nothing left to do", *extract)


if __name__ == "__main__":
    main()
