"""Bit flips and truncations over all files of a finished output: `verify` finds each, and `repair` mends it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flowkit.extraction.repair import repair
from tests.storm.case import Broken, Outcome
from tests.storm.damage import Damager
from tests.storm.scene import Scene, contents, same_json


class Mender:
    """Damages copies of the undisturbed output, and has them repaired."""

    def __init__(self, scene: Scene, damager: Damager) -> None:
        self.scene = scene
        self._damager = damager
        self._contents = contents(scene.out)
        self._files = sorted(path.relative_to(scene.out) for path in scene.out.rglob("*") if path.is_file())

    def case(self, rng: np.random.Generator, folder: Path) -> Outcome:
        """One file with a bit flipped or cut off, verified, repaired and read."""
        out = self.scene.copy(folder / "out")
        name = self._files[rng.integers(len(self._files))]
        before = (out / name).read_bytes()
        what, changed = _flipped(before, rng) if rng.random() < 0.5 else _truncated(before, rng)
        (out / name).write_bytes(changed)
        kind = name.parts[0] if name.parts[0] != "plan" else name.name
        told = f"{name} {what}"
        code = self._damager.verified(out, by_command=False)
        if code == 0:
            if name.suffix == ".json" and same_json(before, changed):
                return Outcome(f"{kind}, {what.split()[0]}", "the same JSON", told)
            raise Broken(f"{told}: verify finds nothing")
        # run.json says where the clips came from, so without it that has to be given again.
        source = self.scene.manifest if kind == "run.json" else None
        result = repair(out, source, workers=1)
        if not result.verification.ok:
            raise Broken(f"{told}: {result.verification.problems}")
        if contents(out) != self._contents:
            raise Broken(f"{told}: the repaired output has other rows")
        if name.parts[0] == "plan" and (out / name).read_bytes() != before:
            raise Broken(f"{told}: the repaired file is another")
        return Outcome(f"{kind}, {what.split()[0]}", "found and mended", f"{told}; parts {result.parts}")


def _flipped(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    at, bit = int(rng.integers(len(data))), int(rng.integers(8))
    return f"bit {bit} of byte {at} flipped", data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def _truncated(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    length = int(rng.integers(len(data)))
    return f"truncated to {length} bytes", data[:length]
