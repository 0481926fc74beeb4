"""The study of the presets `micro` and `fast`: synthetic facial motion with exact truth, on real and drawn faces.

python -m benchmarks.study_micro quick [--methods micro,fast,cv2,dis,farneback] [--set lambda_=0.3 ...]
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import cv2

from benchmarks.study.evaluate import evaluate, kept
from benchmarks.study.goals import BESIDE, GOALS
from benchmarks.study.peers import PEERS, method
from benchmarks.study.shots import shots


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study_micro", description=__doc__)
    modes = parser.add_subparsers(dest="mode", required=True)
    quick = modes.add_parser("quick", help="the rows of all goals on the tuning set; what peers find is kept in build/")
    quick.add_argument("--methods", default="micro,fast,cv2,dis,farneback")
    quick.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="changes flowkit's methods")
    quick.add_argument("--each", type=int, default=8, help="how often looks and places are drawn")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    return _quick(options.methods.split(","), dict(map(_change, options.set)), options.each)


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
    all_met = True
    for goal in GOALS:
        value = goal.value(table[names[0]], table)
        met = value is not None and goal.met(value)
        all_met = all_met and met
        cells = "".join(f"{table[name][goal.row]:12.4f}" for name in names)
        mark = "" if value is None else f"{value:7.3f} {goal.words()}{'' if met else '  MISSED'}"
        print(f"{goal.row:32}{cells}   {mark}")
    print()
    for row in (*BESIDE, "ms"):
        print(f"{row:32}" + "".join(f"{table[name][row]:12.4f}" for name in names))
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
