"""The report: every method on the report set, the goals, the frontier, the bounds."""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from benchmarks.study.bounds import bounds, sides_bound
from benchmarks.study.evaluate import batches, evaluate, kept
from benchmarks.study.faces import JUDGED, SEEDS, Set, looks
from benchmarks.study.frontier import frontier, looked_at
from benchmarks.study.goals import Verdict, phase_verdicts, time_verdicts, verdicts
from benchmarks.study.peers import PEERS, REPORTED, STAND_IN, method, no_motion, peer, require_same
from benchmarks.study.phases import phases
from benchmarks.study.recording import CLIP_RATE, CODECS, record, through_h264
from benchmarks.study.shots import Shot, shots
from benchmarks.study.stage import stage
from benchmarks.study.timing import milliseconds
from flowkit import _core
from flowkit.params import PRESETS

Document = dict[str, Any]
CLIP_FRAMES = 32
FRONTIER_EACH = 12
"""How often looks and places are drawn for a curve; its presets are many."""
PROVED = 20
"""Every so many pairs a peer itself is run where a preset stands in for it."""


def report(which: Set, each: int, repeats: int, say: Callable[[str], None]) -> Document:
    """All that docs/study-micro.md and docs/accuracy.md show, as plain numbers and words."""
    names = [name for name in (*REPORTED, "micro-0.1") if name in PEERS or name in PRESETS]
    methods = {name: method(name, {}) for name in names}
    wanted = shots(which, each)
    table = {}
    for name, solve in methods.items():
        start = time.monotonic()
        if (same := STAND_IN.get(name)) in table:
            table[name] = table[same]
            continue
        table[name] = evaluate(kept(name, solve) if name in PEERS else solve, wanted)
        say(f"{name}: {len(wanted)} pairs, {time.monotonic() - start:.0f} s")
    proved = list(batches(wanted[::PROVED]))
    for name in STAND_IN:
        for batch in proved:
            require_same(name, np.stack([s.frame0 for s in batch]), np.stack([s.frame1 for s in batch]))
    times = milliseconds({name: peer(name) if name in PEERS else solve for name, solve in methods.items()}, repeats)
    averaged = phases(which)
    judged = [*verdicts(table), *time_verdicts(times), *phase_verdicts(averaged)]
    return {
        "set": which,
        "seed": SEEDS[which],
        "pairs": len(wanted),
        "proved": sum(map(len, proved)),
        "looks": [dataclasses.asdict(look) for look in looks(which)],
        "rows": {name: {row: _digits(value) for row, value in rows.items()} for name, rows in table.items()},
        "no motion": {row: _digits(value) for row, value in evaluate(no_motion, wanted).items()},
        "goals": [_plain(verdict) for verdict in judged],
        "milliseconds": times,
        "phases": {
            frames: {name: {row: _digits(value) for row, value in rows.items()} for name, rows in by.items()}
            for frames, by in averaged.items()
        },
        "frontier": frontier(which, FRONTIER_EACH),
        "frontier bound": sides_bound(looked_at(which, FRONTIER_EACH))["0.2"],
        "bounds": bounds(which) | {"sides": sides_bound(wanted)},
        "rates": _rates(which),
        "presets": {name: PRESETS[name].to_dict() for name in JUDGED},
        "made with": {
            "flowkit": _core.version,
            "simd": _core.simd_level(),
            "opencv": cv2.__version__,
            "machine": platform.machine(),
        },
    }


def _digits(value: float) -> float:
    return float(f"{value:.5g}")


def _plain(verdict: Verdict) -> Document:
    return dataclasses.asdict(verdict) | {"value": _digits(verdict.value), "met": bool(verdict.met)}


def _rates(which: Set) -> dict[str, float]:
    """kbit/s of a still head, 224 x 224 at CLIP_RATE frames a second, noise of 1 grey level; JPEG frame by frame."""
    found: dict[str, list[float]] = {codec: [] for codec in CODECS}
    for look in looks(which)[:4]:
        pair = stage(Shot(measure="rates", kind="still", look=look, seed=1, noise=0.0))
        rng = np.random.default_rng(1)
        for codec in CODECS:
            kind, quality = codec.split()
            if kind == "h264":
                frames = [record((f, f), 1.0, "", rng)[0] for f in [pair.frame0.astype(np.float32)] * CLIP_FRAMES]
                size = through_h264(frames, int(quality))[1] / CLIP_FRAMES
            else:
                noisy = record((pair.frame0.astype(np.float32),) * 2, 1.0, "", rng)[0]
                size = len(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1])
            found[codec].append(8e-3 * CLIP_RATE * size)
    return {codec: round(float(np.mean(values))) for codec, values in found.items()}
