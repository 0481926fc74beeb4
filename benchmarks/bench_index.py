"""How long `flowkit index` takes: clips of an invented CASME II, as sheet and folders on this disk.

python -m benchmarks.bench_index --clips 1000 --frames 150 --folder /some/disk

The folders hold empty files, since only names are read. Each count is checked.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path

from flowkit.datasets.casme2 import CASME2
from flowkit.datasets.indexing import index_dataset
from flowkit.datasets.sheets import read_sheets
from flowkit.frames.folder import numbered_images

HEADER = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]


def make(root: Path, clips: int, frames: int) -> Path:
    """A sheet of clips, and a folder of frames for each; returns the sheet."""
    sheet = root / "coding.csv"
    with sheet.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(HEADER)
        for i in range(clips):
            subject, name = i % 26 + 1, f"EP{i:04d}"
            table.writerow([subject, name, 1, frames // 2, frames, "4+7", "disgust"])
            folder = root / f"sub{subject:02d}" / name
            folder.mkdir(parents=True)
            for number in range(1, frames + 1):
                (folder / f"img{number}.jpg").touch()
    return sheet


def main() -> None:
    """Makes, indexes and reports."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clips", type=int, default=1000)
    options.add_argument("--frames", type=int, default=150)
    options.add_argument("--folder", type=Path, help="on whose disk to make the files")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        root = Path(folder)
        sheet = make(root, given.clips, given.frames)
        start = time.perf_counter()
        names = sum(len(numbered_images(path)) for path in root.glob("sub*/EP*"))
        listed = time.perf_counter() - start
        assert names == given.clips * given.frames
        start = time.perf_counter()
        found = index_dataset(CASME2, root, read_sheets([sheet]))
        indexed = time.perf_counter() - start
        assert len(found.clips) == given.clips
        assert found.failed == 0
    print(f"{names} frame names in {listed:.2f} s; {given.clips} clips of {names} frames indexed in {indexed:.2f} s")


if __name__ == "__main__":
    main()
