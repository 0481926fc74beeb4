"""`flowkit extract --gpu` end to end over generated frames in PNG files: pairs a second, and each stage's seconds."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.gpu_timing import face_pairs
from benchmarks.journal import Task
from flowkit.bench import Size
from flowkit.motion.flow import thread_count

COUNTS = (500, 4000)
"""Pairs of 224x224; the smaller run is a result where the larger one does not end in time."""


def tasks() -> list[Task]:
    return [
        Task({"part": "extract", "pairs": count}, lambda count=count: _extract(count), count, "extract")
        for count in COUNTS
    ]


def _extract(count: int) -> Mapping[str, Any]:
    from flowkit.extraction.engines.cuda import cuda_devices
    from flowkit.extraction.engines.device_pipeline import GpuEngine
    from flowkit.extraction.run import extract
    from flowkit.output.verify import verify

    faces = face_pairs(Size(224, 224))
    with tempfile.TemporaryDirectory() as folder:
        clips = Path(folder) / "clips"
        write_clips(clips, [frame for pair in faces for frame in (pair.frame0, pair.frame1)], count)
        engine = GpuEngine(cuda_devices(), thread_count(None))
        summary = extract(clips, Path(folder) / "out", pairs="lag:1", engine=engine, device="cuda")
        sound = verify(Path(folder) / "out").ok
    return {
        "computed": summary.computed,
        "failed": summary.failed,
        "agrees": sound and (summary.computed, summary.failed) == (count, 0),
        "pairs_per_s": summary.pairs_per_second,
        "busy_s": dict(engine.busy_s),
        "threads": {"decode": engine.decoders, "write": engine.writers},
    }


def write_clips(folder: Path, frames: Sequence[np.ndarray], count: int, length: int = 100) -> None:
    """Clips of up to `length` pairs each, as numbered PNG files."""
    for clip in range(-(-count // length)):
        here = folder / f"clip{clip:03d}"
        here.mkdir(parents=True)
        for number in range(min(length, count - clip * length) + 1):
            frame = frames[(clip + number) % len(frames)]
            cv2.imwrite(str(here / f"{number:05d}.png"), frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])
