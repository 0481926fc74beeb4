"""The table of a storm, for docs/reliability.md."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from flowkit import __version__
from tests.storm.case import Case

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- storm: from here on written by python -m tests.storm -->", "<!-- until here -->"
BEGIN_CLUSTER = "<!-- cluster: from here on written by python -m tests.storm --only cluster -->"
TITLES = {
    "kills": "Kills",
    "damage": "Damaged outputs",
    "repair": "Repaired outputs",
    "images": "Damaged images and videos",
    "manifests": "Manifests",
    "power": "Power losses",
    "disk": "Full disks",
    "cluster": "A Ray cluster",
    "store": "Object stores",
}


def summary(cases: Sequence[Case], seed: int) -> str:
    """What was run, a table of the kinds, and for each kind a table of what was done and how it ended."""
    broken = sum(bool(case.broken) for case in cases)
    hours = sum(case.seconds for case in cases) / 3600
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    lines = [
        f"flowkit {__version__}, seed {seed}: {len(cases)} cases, {broken} of them broken, {hours:.2f} hours of one "
        f"process; {machine}.",
        "",
        "| | cases | broken |",
        "|---|---:|---:|",
    ]
    for kind, title in TITLES.items():
        some = [case for case in cases if case.kind == kind]
        if some:
            lines.append(f"| {title} | {len(some)} | {sum(bool(case.broken) for case in some)} |")
    for kind, title in TITLES.items():
        lines += _kind(title, [case for case in cases if case.kind == kind])
    return "\n".join(lines)


def write_page(text: str, page: Path = PAGE, begin: str = BEGIN) -> None:
    """Puts the table between the page's markers."""
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(END)
    if not rest or END not in rest:
        raise ValueError(f"{page} lacks the lines {begin!r} and {END!r}; put them back")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def _kind(title: str, cases: Sequence[Case]) -> list[str]:
    if not cases:
        return []
    lines = ["", f"### {title}", "", "| what was done | cases | how it ended | broken |", "|---|---:|---|---:|"]
    for group in sorted({case.group for case in cases}):
        some = [case for case in cases if case.group == group]
        endings = Counter(case.ending for case in some if not case.broken)
        told = "; ".join(f"{ending}: {count}" for ending, count in endings.most_common())
        lines.append(f"| {group} | {len(some)} | {told} | {sum(bool(case.broken) for case in some)} |")
    return lines
