"""Small synthetic cubes whose class is a motion pattern: brows down, mouth corners up and out, brows up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flowkit.output.commit import FOLDERS, Commit, part_file
from flowkit.output.plan_file import SCHEMA_VERSION
from flowkit.output.record import put_record
from flowkit.output.shard import shard_schema
from flowkit.output.writer import cube_column, put_table, write_commit
from trainer.samples import Samples
from trainer.types import CLASSES


def cube(emotion: int, *, side: int, shift: float, strength: float, noise: NDArray[np.float32]) -> NDArray[np.float32]:
    """One cube (3, side, side): u, v in px and strain magnitude, of the class's pattern plus a noise flow (2, ...)."""
    y, x = np.mgrid[0:side, 0:side] / (side - 1.0)

    def bump(row: float, column: float) -> NDArray[np.float64]:
        return np.exp(-((x - column - shift) ** 2 + (y - row) ** 2) / 0.02)

    brows, left, right = bump(0.3, 0.35) + bump(0.3, 0.65), bump(0.75, 0.35), bump(0.75, 0.65)
    still = np.zeros_like(x)
    u, v = [(still, brows), (right - left, -left - right), (still, -brows)][emotion]
    flow = strength * np.stack([u, v]) + noise
    (uy, ux), (vy, vx) = (np.gradient(plane) for plane in flow)
    strain = np.sqrt(ux**2 + vy**2 + (uy + vx) ** 2 / 2)
    return np.stack([*flow, strain]).astype(np.float32)


def motion_samples(subjects: int = 4, clips: int = 12, side: int = 32, seed: int = 0) -> Samples:
    """Clips of several subjects in two groups; strength, place and noise vary by subject, classes are balanced."""
    draw = np.random.default_rng(seed)
    cubes, emotion, subject, group = [], [], [], []
    for person in range(subjects):
        strength, shift = draw.uniform(0.4, 1.2), draw.uniform(-0.06, 0.06)
        for clip in range(clips):
            noise = draw.normal(0, 0.05 + 0.02 * (person % 2), (2, side, side)).astype(np.float32)
            cubes.append(cube(clip % 3, side=side, shift=shift, strength=strength, noise=noise))
            emotion.append(clip % 3)
            subject.append(f"{person + 1:02d}")
            group.append(("asian", "non_asian")[person % 2])
    n = len(cubes)
    return Samples(
        cubes=np.stack(cubes),
        emotion=np.array(emotion, dtype=np.int64),
        clip_id=[f"toy/{subject[i]}/{i:03d}" for i in range(n)],
        pair_id=[f"{i:016x}" for i in range(n)],
        dataset=["toy"] * n,
        subject=subject,
        group=list(group),
        group_column="group",
    )


def write_out(
    samples: Samples, folder: Path, *, per_shard: int = 20, dtype: str = "float32", **columns: list[Any]
) -> Path:
    """The samples as an extraction's output, several shards; `columns` replaces the values of a manifest column."""
    rows: dict[str, list[Any]] = {
        "pair_id": list(samples.pair_id),
        "clip_id": list(samples.clip_id),
        "dataset": list(samples.dataset),
        "subject": list(samples.subject),
        "role": ["onset-apex"] * len(samples),
        "frame0": list(range(len(samples))),
        "frame1": list(range(1, len(samples) + 1)),
        "emotion3": [CLASSES[k] for k in samples.emotion],
        "group": list(samples.group),
        "iterations": [1] * len(samples),
        **columns,
    }
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    starts = range(0, len(samples), per_shard)
    for number, start in enumerate(starts):
        cubes = samples.cubes[start : start + per_shard].astype(dtype)
        rgb = None if samples.rgb is None else samples.rgb[start : start + per_shard]
        schema = shard_schema(
            cubes.shape[2],
            cubes.shape[3],
            dtype,
            {"part": number, "parameters_hash": "0" * 64},
            rgb=None if rgb is None else rgb.shape[-1],
        )
        some = {name: values[start : start + per_shard] for name, values in rows.items()}
        empty = [None] * len(cubes)
        tensors = {"cube": cube_column(cubes)} | ({} if rgb is None else {"apex_rgb": cube_column(rgb)})
        arrays = [tensors[f.name] if f.name in tensors else pa.array(some.get(f.name, empty), f.type) for f in schema]
        _commit(pa.Table.from_arrays(arrays, schema=schema), folder, number)
    run = {
        "schema_version": SCHEMA_VERSION,
        "parameters": {"preset": "toy"},
        "parameters_hash": "0" * 64,
        "manifest_fingerprint": "f" * 64,
        "versions": {"flowkit": "0"},
        "plan": {"pairs": len(samples), "parts": len(starts)},
    }
    put_record(folder / "plan" / "run.json", run)
    return folder


def _commit(table: pa.Table, folder: Path, part: int) -> None:
    name = part_file("shards", part)
    record = put_table(folder, name, table)
    write_commit(folder, Commit(part, computed=table.num_rows, failed=0, parameters_hash="0" * 64, files=(record,)))
