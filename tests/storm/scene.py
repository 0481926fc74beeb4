"""What the storm falls upon: a small dataset, its undisturbed output, and the comparison with it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowkit.output.commit import finished
from flowkit.output.shard import read
from flowkit.output.verify import verify
from tests.clips import frame_folder
from tests.storm.case import Broken
from tests.storm.launcher import Ended, Launcher

SIZES = ((24, 24), (24, 28), (28, 24), (26, 26), (24, 24), (24, 30))
"""Frames of each clip, (h, w): a part holds cubes of one shape, so each clip is a part."""
FRAMES = 9
DAMAGED = 1
"""The clip in which a frame does not decode, so that there are failure rows."""
Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Scene:
    """A dataset and what an undisturbed run makes of it."""

    manifest: Path
    out: Path
    """The undisturbed output: read it, or copy it."""
    bytes: dict[str, list[bytes]]
    code: int
    """The exit code of the undisturbed run: 1, since a pair fails."""

    def command(self, out: Path, *more: str) -> tuple[str | Path, ...]:
        """The arguments that extract the dataset into another output, in one process."""
        return ("extract", self.manifest, "-o", out, "--preset", "fast", "--pairs", "lag:1", "--workers", "1", *more)

    def copy(self, out: Path) -> Path:
        """A copy of the undisturbed output."""
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(self.out, out)
        return out


def make_scene(folder: Path, launcher: Launcher) -> Scene:
    """Makes the dataset and its undisturbed output."""
    data = folder / "data"
    rows = ["clip_id,source,subject,emotion"]
    for i, size in enumerate(SIZES):
        frame_folder(data / f"clip{i}", range(1, FRAMES + 1), size=size, seed=i)
        rows.append(f"storm/s{i}/clip{i},clip{i},s{i},happiness")
    (data / f"clip{DAMAGED}" / "img5.png").write_bytes(b"no picture")
    (data / "manifest.csv").write_text("\n".join(rows) + "\n")
    scene = Scene(data / "manifest.csv", folder / "undisturbed", {}, 1)
    ended = launcher.run(*scene.command(scene.out))
    result = verify(scene.out)
    if ended.code != 1 or not result.ok or result.failed != 2 or result.shards != len(SIZES):
        raise RuntimeError(f"the undisturbed run is not as it should be: {ended}, {result}")
    return Scene(scene.manifest, scene.out, shards_of(scene.out), ended.code)


def require_same(scene: Scene, out: Path, ended: Ended) -> None:
    """Broken unless a run has ended as the undisturbed one did, with the same bytes and a proof."""
    if ended.code != scene.code:
        raise Broken(f"the resumed run ends otherwise than an undisturbed one: {ended}")
    result = verify(out)
    if not result.ok:
        raise Broken(f"verify: {result}: {result.problems[:3]}")
    found = shards_of(out)
    if found != scene.bytes:
        other = sorted(name for name in found.keys() | scene.bytes.keys() if found.get(name) != scene.bytes.get(name))
        raise Broken(f"other bytes than an undisturbed run in {other}")


def shards_of(out: Path) -> dict[str, list[bytes]]:
    """The bytes of the shards and failures of each part; a file that was written again may have another name."""
    found: dict[str, list[bytes]] = {}
    for folder in ("shards", "failures"):
        for path in sorted((out / folder).iterdir()):
            found.setdefault(f"{folder}/{path.name.split('.')[0]}", []).append(path.read_bytes())
    return found


def require_accounted(out: Path, ended: Ended) -> str:
    """How a run on bad input has ended; Broken unless every pair is a row in a sound output, or nothing was begun."""
    if ended.code == 3:
        raise Broken(f"asks to be run again: {ended}")
    if not (out / "plan" / "run.json").exists():
        if ended.code != 2:
            raise Broken(f"has no output: {ended}")
        return "one sentence, 2"
    result = verify(out)
    expected = 0 if not result.failed else 1 if result.computed else 2
    # Code 1 where every pair has failed is what flowkit said until it had a sentence for that.
    if not result.ok or (ended.code != expected and (ended.code, expected) != (1, 2)):
        raise Broken(f"verify: {result}: {result.problems[:3]}; {ended}")
    return ("rows, 0", "rows and failure rows, 1", "failure rows alone, 2")[expected]


def is_finished(out: Path) -> bool:
    """Whether an output is whole and sound."""
    return (out / "plan" / "run.json").exists() and verify(out).ok


def stamps(out: Path) -> dict[str, Stamp]:
    """(inode, time of change in ns) of each file of the committed parts."""
    found = {}
    for commit in finished(out).values():
        for file in commit.files:
            status = (out / file.name).stat()
            found[file.name] = (status.st_ino, status.st_mtime_ns)
    return found


def tree(out: Path) -> dict[str, Stamp]:
    """(inode, time of change in ns) of everything in a folder, by relative path."""
    return {
        path.relative_to(out).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(out.rglob("*"))
    }


def contents(out: Path) -> dict[str, Any]:
    """All that `flowkit.read` gives of an output: counts, rows, cubes and failures."""
    shards = read(out)
    rows: list[Any] = []
    for i in range(len(shards.paths)):
        table = shards.shard(i)
        labels = table.drop_columns(["cube"]).to_pylist()
        rows += [(label, cube.tobytes()) for label, cube in zip(labels, shards.cubes(i), strict=True)]
    return {"length": len(shards), "rows": rows, "failures": shards.failures().to_pylist()}


def same_json(a: bytes, b: bytes) -> bool:
    """Whether two texts are the same JSON."""
    try:
        return bool(json.loads(a) == json.loads(b))
    except ValueError:
        return False
