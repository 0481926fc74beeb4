"""Ratios to the peers on record, which CI keeps, and what flowkit claims, which the page shows kept or missed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from flowkit.bench import Measurement
from flowkit.bench.methods import DIS_MEDIUM, DUAL_TVL1

RECORD = Path(__file__).parent / "ratios.json"
"""For each processor and SIMD level, the ratio that each measurement of the short form must not fall below."""
SHARE, THREADS_RATIO = 0.5, 1.2
"""Recorded is half of what was measured, since shared machines are noisy; for two threads a fixed ratio."""


def ratios(measured: Sequence[Measurement]) -> dict[str, float]:
    """Of flowkit's methods to what each is for, in the same run, by "method / other, size, threads".

    Presets to cv2's DualTVL1, and `fast` to DIS medium also; the other peers take a fraction of a millisecond, or
    are as good as either of these two for noticing a slower flowkit.
    """
    return {
        f"{m.method} / {other}, {m.size}, {m.threads} thread{'s' * (m.threads > 1)}": ratio
        for m in measured
        if m.method.startswith("flowkit")
        for other, ratio in m.times_as_fast_as.items()
        if other == DUAL_TVL1 or m.error_px is None or (m.method, other) == ("flowkit fast", DIS_MEDIUM)
    }


def best(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """The better of two measurements of each ratio."""
    return {key: max(found[key] for found in (one, other) if key in found) for key in [*one, *other]}


def slow(found: Mapping[str, float], record: Mapping[str, float], cpus: int) -> list[str]:
    """A sentence for each ratio below the recorded one, or not measured; one CPU need not measure threads."""
    sentences = []
    for key, least in record.items():
        if key not in found:
            if cpus > 1 or not key.endswith("threads"):
                sentences.append(f"{key}: on record in {RECORD.name}, but not measured")
        elif not found[key] >= least:
            sentences.append(f"{key}: {found[key]:.2f}, at least {least} on record")
    return sentences


def read_record(cpu: str, simd: str) -> dict[str, float] | None:
    """The ratios on record for this processor and SIMD level, None if no processor has any for that level.

    Processors differ in what a division costs, and so in these ratios by a factor of three. One that is not on record
    is held to the least of each ratio of those that are.
    """
    everything = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if simd in everything.get(cpu, {}):
        mine: dict[str, float] = everything[cpu][simd]
        return mine
    others = [levels[simd] for levels in everything.values() if simd in levels]
    return {key: min(other[key] for other in others if key in other) for key in others[0]} if others else None


def write_record(cpu: str, simd: str, found: Mapping[str, float]) -> None:
    """Puts this run's ratios on record, with the margin."""
    everything = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    everything.setdefault(cpu, {})[simd] = {key: recorded(key, ratio) for key, ratio in found.items()}
    RECORD.write_text(json.dumps(everything, indent=1) + "\n")


def recorded(key: str, ratio: float) -> float:
    return THREADS_RATIO if key.endswith("threads") else float(f"{SHARE * ratio:.2g}")
