"""The report: every method on the report set, the times, and what of the goals is met."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.study.measures import Errors, Method, errors_of, fastest, mean_errors
from benchmarks.study.motions import example, shots
from benchmarks.study.peers import DIS_MEDIUM, DUAL_TVL1, OPENCV
from benchmarks.study.scenes import Example, Shot

Report = dict[str, Any]
TIMED_SIZES = ((128, 128), (224, 224), (280, 340))
MICRO_LIMITS = {0.2: 0.7, 0.5: 0.7, 1.0: 0.85, 2.0: 0.95}
"""Largest mean endpoint error of `micro`, relative to cv2's DualTVL1, by amplitude in px."""
FAST_LIMIT, FAST_TIME = 0.7, 1.2
"""Largest error and time of `fast`, relative to DIS medium."""


def measure(
    methods: Mapping[str, Method], examples: Sequence[Example], repeats: int, say: Callable[[str], None]
) -> Report:
    """Errors by amplitude and by kind of motion, and milliseconds by size."""
    found: dict[str, list[Errors]] = {}
    for name, method in methods.items():
        found[name] = [errors_of(method(e.frame0, e.frame1), e) for e in examples]
        say(f"{name}: {mean_errors(found[name]).endpoint_px:.4f} px")
    return {
        "pairs": [e.shot.to_dict() for e in examples],
        "amplitude": _grouped(found, examples, lambda shot: f"{shot.amplitude_px:g}"),
        "kind": _grouped(found, examples, lambda shot: shot.kind if shot.amplitude_px <= 3 else ""),
        "milliseconds": _times(methods, repeats),
    }


def undone(methods: Mapping[str, Method], examples: Sequence[Example]) -> dict[str, dict[str, dict[str, float]]]:
    """Errors by amplitude only, of `micro` with single choices undone."""
    found = {name: [errors_of(method(e.frame0, e.frame1), e) for e in examples] for name, method in methods.items()}
    return _grouped(found, examples, lambda shot: f"{shot.amplitude_px:g}")


def _grouped(
    found: Mapping[str, Sequence[Errors]], examples: Sequence[Example], group: Callable[[Shot], str]
) -> dict[str, dict[str, dict[str, float]]]:
    groups = [key for key in dict.fromkeys(group(e.shot) for e in examples) if key]
    table: dict[str, dict[str, dict[str, float]]] = {}
    for name, errors in found.items():
        table[name] = {}
        for key in groups:
            mean = mean_errors([x for x, e in zip(errors, examples, strict=True) if group(e.shot) == key])
            table[name][key] = {"endpoint_px": round(mean.endpoint_px, 5), "strain": round(mean.strain, 6)}
    return table


def _times(methods: Mapping[str, Method], repeats: int) -> dict[str, dict[str, float]]:
    times: dict[str, dict[str, float]] = {name: {} for name in methods}
    slow = (DUAL_TVL1, "scikit-image TV-L1")
    for size in TIMED_SIZES:
        shot = next(shots("report", 1, (1.0,)))
        pair = example(Shot(shot.face, "expression", 1.0, size, 1.0, 95, shot.seed))
        for names, count in ((slow, 2), ([name for name in methods if name not in slow], repeats)):
            some = {name: methods[name] for name in names if name in methods}
            for name, seconds in fastest(some, pair.frame0, pair.frame1, count).items():
                times[name][_size(size)] = round(1e3 * seconds, 3)
    return times


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def verdicts(report: Report) -> list[tuple[str, bool]]:
    """Each goal in words, and whether it is met."""
    errors, times = report["amplitude"], report["milliseconds"]

    def error(name: str, amplitude: float, what: str = "endpoint_px") -> float:
        return float(errors[name][f"{amplitude:g}"][what])

    lines: list[tuple[str, bool]] = []

    def judge(what: str, ratio: float, of: str, limit: float) -> None:
        lines.append((f"{what}: {ratio:.2f} of {of}, at most {limit:g}", ratio <= limit))

    peers = [name for name in errors if name not in ("flowkit micro", "flowkit fast", OPENCV)]
    for amplitude, limit in MICRO_LIMITS.items():
        ours, strain = error("flowkit micro", amplitude), error("flowkit micro", amplitude, "strain")
        best = min(peers, key=lambda name: error(name, amplitude))
        what = f"micro at {amplitude:g} px"
        judge(what, ours / error(DUAL_TVL1, amplitude), f"{DUAL_TVL1}'s error", limit)
        judge(what, ours / error(best, amplitude), f"the best peer's error ({best})", 1)
        judge(what, strain / error(DUAL_TVL1, amplitude, "strain"), f"{DUAL_TVL1}'s strain error", 1)
    for size in times["flowkit micro"]:
        judge(f"micro at {size}", times["flowkit micro"][size] / times[OPENCV][size], "preset opencv's time", 1)
    for amplitude in MICRO_LIMITS:
        ratio = error("flowkit fast", amplitude) / error(DIS_MEDIUM, amplitude)
        judge(f"fast at {amplitude:g} px", ratio, f"{DIS_MEDIUM}'s error", FAST_LIMIT)
    for size in ("224x224", "340x280"):
        ratio = times["flowkit fast"][size] / times[DIS_MEDIUM][size]
        judge(f"fast at {size}", ratio, f"{DIS_MEDIUM}'s time", FAST_TIME)
    return lines


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def error_table(groups: Mapping[str, Mapping[str, Mapping[str, float]]], what: str, factor: float, digits: int) -> str:
    """One row a method, one column an amplitude or a kind."""
    columns = list(next(iter(groups.values())))
    rows = [[name, *(f"{factor * by[column][what]:.{digits}f}" for column in columns)] for name, by in groups.items()]
    return table(["", *columns], rows)


def time_table(times: Mapping[str, Mapping[str, float]]) -> str:
    """Milliseconds, and the ratio to DIS medium in brackets."""
    sizes = list(next(iter(times.values())))
    rows = [
        [name, *(f"{by[size]:.2f} ({by[size] / times[DIS_MEDIUM][size]:.2f})" for size in sizes)]
        for name, by in times.items()
    ]
    return table(["", *sizes], rows)
