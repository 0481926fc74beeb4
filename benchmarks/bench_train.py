"""`flowkit-train loso --preset paper` on this CPU: seconds a fold, and what more folds at a time and bfloat16 bring.

    python -m benchmarks.bench_train FOLDER [--model resnet18] [--epochs 2] [--turns 2]

290 clips of 53 drawn people at 224 x 224 are made and extracted in FOLDER, where they stay. Of each way to train on
them the command itself computes the first two folds, with so many of the paper's 15 epochs, and is stopped; seconds are
those that it says of each. Ways follow each other in turns, so that a change of the machine's load meets all of them.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from flowkit.datasets import read_manifest
from flowkit.extraction.run import extract
from flowkit.synthetic.dataset import make_dataset
from trainer.paper import PAPER_CLIPS

PEOPLE, CLIPS, SIDE, EPOCHS = 53, sum(PAPER_CLIPS.values()), 224, 15
"""The paper's people and clips, height of cubes, px, and epochs."""
FOLDS = 2
"""So many are computed of each way."""
WAYS = {
    "one fold after another, 2 threads, fp32": "--jobs 1 --threads 2",
    "two folds at a time, fp32": "--jobs 2",
    "two folds at a time, bf16": "--jobs 2 --precision bf16",
}
EVERY_SECONDS = 0.5
"""Memory is looked at so often."""


@dataclass
class Measured:
    """What the turns of a way have found."""

    seconds: list[float] = field(default_factory=list)
    """By the fold: of folds at a time, what they took together, divided by their number."""
    peak: float = 0.0
    """Of all processes, shared pages counted once, GiB."""


def main() -> None:
    """Prints a line a turn, and then the medians as a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_train", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--turns", type=int, default=2)
    options = parser.parse_args()
    shards = shards_in(options.folder)
    found = {way: Measured() for way in WAYS}
    for turn in range(options.turns):
        for way, choices in WAYS.items():
            run = options.folder / f"{options.model}-{turn}-{way.replace(' ', '-').replace(',', '')}"
            command = [str(Path(sys.executable).parent / "flowkit-train"), "loso", str(shards), "-o", str(run)]
            command += ["--preset", "paper", "--overwrite", "--model", options.model, "--epochs", str(options.epochs)]
            seconds, peak = two_folds(command + choices.split())
            found[way].seconds.append(seconds)
            found[way].peak = max(found[way].peak, peak)
            print(f"{way}: {seconds:.1f} s a fold, {peak:.2f} GiB, load {os.getloadavg()[0]:.1f}", flush=True)
    first = found[next(iter(WAYS))].seconds
    print(f"\n| {options.model} | s a fold of {EPOCHS} epochs | hours for {PEOPLE} folds | times as fast | GiB |")
    print("|---|---:|---:|---:|---:|")
    for way, measured in found.items():
        whole = statistics.median(measured.seconds) * EPOCHS / options.epochs
        ratio = statistics.median(one / other for one, other in zip(first, measured.seconds, strict=True))
        print(f"| {way} | {whole:.0f} | {whole * PEOPLE / 3600:.1f} | {ratio:.2f} | {measured.peak:.2f} |")


def shards_in(folder: Path) -> Path:
    """The output of the clips' extraction, made where it is not there yet."""
    shards = folder / "shards"
    if not shards.exists():
        each = -(-CLIPS // (3 * PEOPLE))  # of a person and emotion
        manifest = make_dataset(folder / "clips", subjects=PEOPLE, clips=each, size=SIDE)
        clips = read_manifest(manifest)
        extract([clips[i * len(clips) // CLIPS] for i in range(CLIPS)], shards, pairs="onset-apex")
    return shards


def two_folds(command: list[str]) -> tuple[float, float]:
    """Seconds a fold of the first two, and the peak of memory, GiB; the command is stopped when it has them."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        with watched(process.pid) as peak:
            seconds: list[float] = []
            for line in process.stdout:
                if done := re.search(r"pairs, ([\d.]+) s", line):
                    seconds.append(float(done[1]))
                if len(seconds) == FOLDS:
                    break
            process.send_signal(signal.SIGTERM)
            process.stdout.read()
    if len(seconds) < FOLDS:
        raise SystemExit(f"{' '.join(command)} has ended with {process.returncode} before {FOLDS} folds were done")
    at_a_time = int(command[command.index("--jobs") + 1])
    return sum(seconds) / FOLDS / at_a_time, peak[0]


@contextmanager
def watched(session: int) -> Iterator[list[float]]:
    """The largest memory that the processes of a session have held together within the block, GiB, as a list of one."""
    peak, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(EVERY_SECONDS):
            peak[0] = max(peak[0], sum(held(entry, session) for entry in Path("/proc").glob("[0-9]*")) / 2**20)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def held(process: Path, session: int) -> int:
    """KiB that a process of the session holds, shared pages in part; 0 for others, and for one that is gone."""
    try:
        after_name = (process / "stat").read_text().rpartition(")")[2].split()
        if int(after_name[3]) != session:
            return 0
        found = re.search(r"^Pss: +(\d+) kB", (process / "smaps_rollup").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return 0
    return int(found[1]) if found else 0


if __name__ == "__main__":
    main()
