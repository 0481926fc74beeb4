"""Damages to the files of a finished output: `verify` finds each, and no read gives other or fewer rows in silence."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from flowkit.errors import FlowkitError
from flowkit.output.verify import verify
from tests.storm.case import Broken, Outcome
from tests.storm.launcher import Launcher
from tests.storm.scene import Scene, contents, same_json
from tests.storm.wreck import wreck

FOUND, UNFINISHED = 2, 3
KINDS = ("shards", "failures", "commits", "run.json", "pairs.parquet", "survey.parquet")


class Damager:
    """Damages copies of the undisturbed output."""

    def __init__(self, scene: Scene, launcher: Launcher) -> None:
        self.scene = scene
        self.launcher = launcher
        self._contents = contents(scene.out)

    def case(self, rng: np.random.Generator, folder: Path) -> Outcome:
        """One damaged file, verified and read."""
        out = self.scene.copy(folder / "out")
        kind = str(rng.choice(KINDS))
        path = _choose(out, kind, rng)
        name = path.relative_to(out).as_posix()
        what, meaningless = _damage(path, rng)
        told = f"{name} {what}"
        try:
            code = self.verified(out, by_command=rng.random() < 0.02)
            ending = self._judge(code, kind, path, meaningless)
            reading = self._read(out, gone=kind == "commits" and not path.exists())
        except Broken as broken:
            raise Broken(f"{told}: {broken}") from None
        return Outcome(kind, ending, f"{told}; read: {reading}")

    def verified(self, out: Path, by_command: bool) -> int:
        """The exit code that `flowkit verify` has or would have."""
        if by_command:
            ended = self.launcher.start("verify", out).wait()
            if "Traceback" in ended.stderr:
                raise Broken(f"verify shows a traceback: {ended}")
            return ended.code
        try:
            result = verify(out)
        except FlowkitError as error:
            return error.exit_code
        except Exception as error:
            raise Broken(f"verify raises {type(error).__name__}: {error}") from error
        return FOUND if result.problems else UNFINISHED if result.unfinished else 0

    def _judge(self, code: int, kind: str, path: Path, meaningless: bool) -> str:
        if code == FOUND:
            return "found"
        if code == UNFINISHED and kind == "commits" and not path.exists():
            return "found, as unfinished"  # a part without its record is one that is still to be computed
        if code == 0 and meaningless:
            return "the same JSON"
        raise Broken(f"verify ends with {code}")

    def _read(self, out: Path, gone: bool) -> str:
        try:
            found = contents(out)
        except FlowkitError:
            return "refused"
        except Exception as error:
            raise Broken(f"read raises {type(error).__name__}: {error}") from error
        if found == self._contents:
            return "the same rows"
        if gone and _is_part_of(found, self._contents):
            return "the rows of the parts that count"
        raise Broken("read gives other or fewer rows in silence")


def _choose(out: Path, kind: str, rng: np.random.Generator) -> Path:
    if kind in ("shards", "failures", "commits"):
        paths = sorted((out / kind).iterdir())
        return paths[rng.integers(len(paths))]
    return out / "plan" / kind


def _damage(path: Path, rng: np.random.Generator) -> tuple[str, bool]:
    """Damages a file; what was done, and whether it is a JSON file that says the same still."""
    what = str(rng.choice(["bytes", "deleted", "renamed", "swapped", "duplicated"], p=[0.72, 0.07, 0.07, 0.07, 0.07]))
    others = [other for other in sorted(path.parent.iterdir()) if other != path and other.suffix == path.suffix]
    if what == "bytes" or (what == "swapped" and not others):
        before = path.read_bytes()
        what, changed = wreck(before, rng)
        path.write_bytes(changed)
        return what, path.suffix == ".json" and same_json(before, changed)
    if what == "deleted":
        path.unlink()
    elif what == "renamed":
        path.rename(path.with_name(f"{path.stem}0{path.suffix}"))
    elif what == "duplicated":
        shutil.copy(path, path.with_name(f"{path.stem}0{path.suffix}"))
    else:
        other = others[rng.integers(len(others))]
        a, b = path.read_bytes(), other.read_bytes()
        path.write_bytes(b)
        other.write_bytes(a)
    return what, False


def _is_part_of(found: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Whether rows and failures are some of the whole's, in order, and counted right."""
    some = all(_some(found[key], whole[key]) for key in ("rows", "failures"))
    return some and found["length"] == len(found["rows"])


def _some(part: list[Any], whole: list[Any]) -> bool:
    rest = iter(whole)
    return all(any(row == other for other in rest) for row in part)
