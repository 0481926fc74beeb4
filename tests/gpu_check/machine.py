"""A machine for benchmarks/gpu_check.sh without a GPU: a copy of the sources, stand-ins for what a GPU machine has.

`pip install` becomes a copy of the package with an extension that is built already, compute-sanitizer a script that
runs its command and reports what it is told to. What runs is the script itself, pytest, and the benchmarks.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowkit import _test_hooks

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SOURCES = ("benchmarks", "build_support", "cmake", "csrc", "flowkit", "tests", "trainer")

# Without site, so that an editable install of flowkit does not come before what was "built".
PYTHON = """#!/bin/sh
if [ "$2" = pip ]; then
  all="$*"
  while [ "$1" != --target ]; do shift; done
  cp -r flowkit trainer "$2" && cp "{core}" "$2/flowkit/" || exit
  case "$all" in *FLOWKIT_TEST_HOOKS=on*) cp "{hooks}" "$2/flowkit/" ;; esac
  exit
fi
PYTHONPATH="$PYTHONPATH:{path}" exec "{python}" -S "$@"
"""
SANITIZER = """#!/bin/sh
echo "$2" >>"{log}"
tool=$2 code=0
while [ "${{1#--}}" != "$1" ]; do
  [ "$1" != --error-exitcode ] || code=$2
  shift 2
done
"$@" || exit
[ "$tool" = "{reports}" ] || exit 0
echo "========= ERROR SUMMARY: 12 errors"
exit "$code"
"""


@dataclass(frozen=True)
class Run:
    """What a run of the script left."""

    code: int
    said: str
    out: Path

    @property
    def summary(self) -> dict[str, str]:
        """The summary line of each step, without its name."""
        lines = [line.removeprefix("== ") for line in (self.out / "summary.txt").read_text().splitlines()]
        assert all(f"== {line}" in self.said.splitlines() for line in lines)
        return dict(line.split(": ", 1) for line in lines)

    def found(self, name: str) -> Any:
        return json.loads((self.out / f"{name}.json").read_text())


class Machine:
    """`core`: the extension that the step build installs; `cupy`: whether there is the stand-in of CuPy."""

    def __init__(self, folder: Path, core: Path, *, cupy: bool = True) -> None:
        self.source, self.folder = folder / "source", folder
        for name in SOURCES:
            ignored = shutil.ignore_patterns("__pycache__", "*.so", "results")
            shutil.copytree(ROOT / name, self.source / name, ignore=ignored)
        for name in ("CMakeLists.txt", "pyproject.toml"):
            shutil.copy(ROOT / name, self.source)
        paths = [str(HERE / "stand_in")] * cupy + [path for path in sys.path if path and Path(path) != ROOT]
        self._write(
            "python",
            PYTHON.format(core=core, hooks=_test_hooks.__file__, path=os.pathsep.join(paths), python=sys.executable),
        )
        self.sanitizer_reports("")

    def run(self, steps: str, **environment: str) -> Run:
        """The script with these steps; other variables of its environment by name."""
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        tools = {"PYTHON": str(self.folder / "python"), "SANITIZER": str(self.folder / "sanitizer"), "STEPS": steps}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWKIT", "PYTEST"))}
        command = ["bash", str(self.source / "benchmarks" / "gpu_check.sh"), str(out)]
        done = subprocess.run(
            command, env=kept | tools | environment, capture_output=True, text=True, timeout=300, check=False
        )
        return Run(done.returncode, done.stdout + done.stderr, out)

    def sanitizer_reports(self, tool: str) -> None:
        """From now on this one of its tools finds something in whatever it runs."""
        self._write("sanitizer", SANITIZER.format(log=self.folder / "sanitized", reports=tool))

    def replace(self, path: str, old: str, new: str) -> None:
        """Breaks a file of the sources on purpose."""
        file = self.source / path
        text = file.read_text()
        assert text.count(old) == 1, f"{path} has {text.count(old)} of {old!r}"
        file.write_text(text.replace(old, new))

    def write(self, path: str, text: str) -> None:
        """A new file of the sources."""
        file = self.source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)
