"""python -m tests.storm --long --seed 1 [--minutes 25] [--only kills power] [--folder build/storm] [--case kills 17]"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.storm.run import CLUSTER, KINDS, LONG, SHORT, Storm, journal, storm
from tests.storm.table import BEGIN, BEGIN_CLUSTER, summary, write_page


def main() -> int:
    """0 if every promise was kept, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--long", action="store_true", help="all cases, and the table into docs/reliability.md")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=25.0, help="no case begins after that; run again to go on")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=tuple(LONG), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--folder", type=Path, default=Path("build/storm"), help="journals and work; goes on from there"
    )
    parser.add_argument("--case", nargs=2, metavar=("KIND", "INDEX"), help="only this one, and show what became of it")
    chosen = parser.parse_args()
    folder = chosen.folder.absolute()
    if chosen.case:
        single = Storm(folder / "single", chosen.seed)
        case = single.case(chosen.case[0], int(chosen.case[1]))
        single.close()
        print(json.dumps(case.to_dict(), indent=1))
        return bool(case.broken)
    counts = {kind: count for kind, count in (LONG | CLUSTER if chosen.long else SHORT).items() if kind in chosen.only}
    storm(folder, chosen.seed, counts, chosen.minutes, chosen.processes)
    cases = [case for case in journal(folder, chosen.seed) if case.kind in chosen.only]
    text = summary(cases, chosen.seed)
    print(text)
    if chosen.long:
        write_page(text, begin=BEGIN_CLUSTER if set(chosen.only) == {*CLUSTER} else BEGIN)
        if missing := sum(counts.values()) - sum(case.kind in counts for case in cases):
            print(f"{missing} cases are still to run; the same command goes on")
    return any(case.broken for case in cases)


if __name__ == "__main__":
    sys.exit(main())
