"""The study that tunes and judges the presets `micro` and `fast` on synthetic facial motion with exact truth.

python -m benchmarks.study_micro --tune [micro|fast] [--quick]  # search on the tune set
python -m benchmarks.study_micro --report [--quick] [--found]   # every method on the report set

Both write benchmarks/results/study_micro.json, and the report also docs/study-micro.md, except with --quick. --found
judges what the last search found instead of flowkit's presets. Sets differ in faces, motion and seeds.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

from benchmarks.study.goals import GOALS
from benchmarks.study.motions import AMPLITUDES_PX, LARGE_PX, examples
from benchmarks.study.page import page
from benchmarks.study.peers import PEERS, ablations, methods
from benchmarks.study.report import measure, undone, verdicts
from benchmarks.study.search import search
from flowkit import _core
from flowkit.params import PRESETS, TVL1Params

RESULTS = Path(__file__).parent / "results" / "study_micro.json"
PAGE = Path(__file__).parent.parent / "docs" / "study-micro.md"
EACH, EACH_LARGE = {"tune": 8, "report": 16}, {"tune": 3, "report": 8}
"""Pairs of an amplitude, and of a large one."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study_micro", description=__doc__)
    parser.add_argument(
        "--tune", nargs="*", choices=list(GOALS), help="search, for one preset or both; ten minutes each"
    )
    parser.add_argument("--report", action="store_true", help="judge all methods, about three minutes")
    parser.add_argument("--quick", action="store_true", help="a few pairs and trials; writes nothing")
    parser.add_argument("--found", action="store_true", help="judge what the last search found, not the presets")
    options = parser.parse_args()
    if options.tune is None and not options.report:
        parser.error("give --tune, --report or both")
    cv2.setNumThreads(1)
    met = True
    if options.tune is not None:
        tuned = _tune(options.tune or list(GOALS), options.quick)
        if not options.quick:
            document = _results()
            tuned["presets"] = document.get("tune", {}).get("presets", {}) | tuned["presets"]
            _write(document | {"tune": tuned})
    if options.report:
        report = _report(_presets(_results(), options.found), options.quick)
        met = all(ok for _, ok in report["goals"])
        if not options.quick:
            _write(_results() | {"report": report})
            PAGE.write_text(page(_results()))
    return 0 if met else 1


def _results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def _write(document: Mapping[str, Any]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")


def _tune(names: list[str], quick: bool) -> dict[str, Any]:
    pairs = examples("tune", 2 if quick else EACH["tune"], AMPLITUDES_PX)
    pairs += examples("tune", 1 if quick else EACH_LARGE["tune"], LARGE_PX)
    found = {}
    for name in names:
        goal = GOALS[name]
        print(f"\n{name}: {goal.trials} trials on {len(pairs)} pairs against {goal.peer}")
        best, path = search(goal, PEERS[goal.peer], pairs, trials=10 if quick else goal.trials)
        found[name] = {"goal": goal.to_dict(), "found": best.to_dict(), "path": path}
    return {"pairs": [pair.shot.to_dict() for pair in pairs], "presets": found}


def _presets(document: Mapping[str, Any], found: bool) -> dict[str, TVL1Params]:
    if not found:
        return {name: PRESETS[name] for name in GOALS}
    return {name: TVL1Params(**document["tune"]["presets"][name]["found"]) for name in GOALS}


def _report(presets: Mapping[str, TVL1Params], quick: bool) -> dict[str, Any]:
    pairs = examples("report", 2 if quick else EACH["report"], AMPLITUDES_PX)
    pairs += examples("report", 1 if quick else EACH_LARGE["report"], LARGE_PX)
    print(f"\n{len(pairs)} pairs; mean endpoint error")
    report = measure(methods(presets), pairs, 5 if quick else 25, print)
    report["undone"] = undone(ablations(presets["micro"]), pairs)
    report["presets"] = {name: params.to_dict() for name, params in presets.items()}
    report["made with"] = {
        "flowkit": _core.version,
        "simd": _core.simd_level(),
        "opencv": cv2.__version__,
        "machine": platform.machine(),
    }
    report["goals"] = verdicts(report)
    for words, ok in report["goals"]:
        print("met    " if ok else "MISSED ", words)
    return report


if __name__ == "__main__":
    sys.exit(main())
