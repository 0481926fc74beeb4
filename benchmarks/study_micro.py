"""The study of the presets `micro` and `fast`: synthetic facial motion with exact truth, on real and drawn faces.

python -m benchmarks.study_micro quick [--methods micro,fast,cv2,dis,farneback] [--set lambda_=0.3 ...]
python -m benchmarks.study_micro report
python -m benchmarks.study_micro pages

quick: the rows of all goals on the tuning set; what peers find, and the frames, are kept in build/study.
report: every method on the report set, in 20 minutes; writes benchmarks/results/study_micro.json, then the pages.
pages: fills the tables of docs/study-micro.md and docs/accuracy.md, and docs/figures/frontier.svg, from that file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2

from benchmarks.study.evaluate import evaluate, kept
from benchmarks.study.frontier import plot
from benchmarks.study.goals import BESIDE, GOALS, TIME_GOALS, time_verdicts
from benchmarks.study.pages import fill, tables
from benchmarks.study.peers import PEERS, method
from benchmarks.study.report import report
from benchmarks.study.shots import SIDE, shots
from benchmarks.study.timing import milliseconds

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "study_micro.json"
PAGES = (ROOT / "docs" / "study-micro.md", ROOT / "docs" / "accuracy.md")
FIGURE = ROOT / "docs" / "figures" / "frontier.svg"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.study_micro", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    modes = parser.add_subparsers(dest="mode", required=True)
    quick = modes.add_parser("quick")
    quick.add_argument("--methods", default="micro,fast,cv2,dis,farneback")
    quick.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="changes flowkit's methods")
    quick.add_argument("--each", type=int, default=8, help="how often looks and places are drawn")
    modes.add_parser("report")
    modes.add_parser("pages")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.mode == "quick":
        return _quick(options.methods.split(","), dict(map(_change, options.set)), options.each)
    if options.mode == "report":
        RESULTS.write_text(json.dumps(report("report", 36, 15, print), indent=1) + "\n")
    return _pages()


def _change(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _quick(names: list[str], changes: dict[str, Any], each: int) -> int:
    wanted = shots("tuning", each)
    table = {}
    for name in names:
        solve = method(name, changes)
        table[name] = evaluate(kept(name, solve) if name in PEERS else solve, wanted)
    print(f"{len(wanted)} pairs{'; changed: ' + str(changes) if changes else ''}\n")
    print(f"{'':32}{''.join(f'{name:>12}' for name in names)}   {names[0]}")
    for goal in GOALS:
        value = goal.value(table[names[0]], table)
        cells = "".join(f"{table[name][goal.row]:12.4f}" for name in names)
        missed = value is not None and not goal.met(value)
        mark = "" if value is None else f"{value:7.3f} {goal.words()}{'  MISSED' if missed else ''}"
        print(f"{goal.row:32}{cells}   {mark}")
    print()
    for row in BESIDE:
        print(f"{row:32}" + "".join(f"{table[name][row]:12.4f}" for name in names))
    timed = {name: method(name, changes if name in names else {}) for pair in TIME_GOALS for name in pair[:2]}
    for verdict in time_verdicts(milliseconds(timed, 9, [SIDE])):
        print(
            f"{verdict.preset} {verdict.row}: {verdict.value:.2f}, {verdict.words}{'' if verdict.met else '  MISSED'}"
        )
    return 0


def _pages() -> int:
    """Writes the pages; 1 if a goal is missed."""
    document = json.loads(RESULTS.read_text())
    found = tables(document)
    for page in PAGES:
        page.write_text(fill(page.read_text(), found))
    plot(document["frontier"], document["frontier bound"], FIGURE)
    missed = [goal for goal in document["goals"] if not goal["met"]]
    for goal in missed:
        print(f"MISSED {goal['preset']} {goal['row']}: {goal['value']:.4g}, {goal['words']}")
    print(f"{len(document['goals']) - len(missed)} of {len(document['goals'])} goals are met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
