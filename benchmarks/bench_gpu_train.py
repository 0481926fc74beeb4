"""Folds of the trainer on generated cubes: seconds a fold. Needs torch and timm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.journal import Absent, Task

MODEL, SIDE, PEOPLE, CLIPS, FOLDS = "dual-resnet18", 112, 6, 57, 3
"""285 rows are trained on in each fold."""


def tasks() -> list[Task]:
    return [
        Task({"part": "train", "model": MODEL, "side": SIDE, "fold": fold}, lambda fold=fold: _fold(fold), 1.0, "train")
        for fold in range(FOLDS)
    ]


def _fold(number: int) -> Mapping[str, Any]:
    try:
        from trainer.inputs import choose_device
        from trainer.protocols import split
        from trainer.samples import Samples
        from trainer.train import run_fold
        from trainer.types import RunConfig
    except ModuleNotFoundError as error:
        raise Absent(f"{error.name} is not installed") from error
    n = PEOPLE * CLIPS
    emotion = np.arange(n, dtype=np.int64) % 3
    noise = np.random.default_rng(0).standard_normal((n, 3, SIDE, SIDE)).astype(np.float32)
    people = [f"{row // CLIPS:02d}" for row in range(n)]
    samples = Samples(
        cubes=noise + emotion[:, None, None, None].astype(np.float32),
        emotion=emotion,
        clip_id=[f"generated/{row}" for row in range(n)],
        pair_id=[f"{row:016x}" for row in range(n)],
        dataset=["generated"] * n,
        subject=people,
        group=["asian" if int(person) % 2 else "non_asian" for person in people],
        group_column="group",
    )
    config = RunConfig(model=MODEL)
    fold = split(config.protocol, samples.people, samples.dataset)[number]
    device = choose_device("cuda")
    result = run_fold(samples, fold, config, device=device)
    right = result.probabilities.argmax(axis=1) == emotion[fold.held_out]
    return {"seconds": result.seconds, "epochs": config.epochs, "device": str(device), "accuracy": float(right.mean())}
