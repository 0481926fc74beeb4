"""Does fusing the group help where it carries information, and not where it does not? On the demo's people.

    python -m benchmarks.study_fusion OUT [--seeds 5] [--epochs 6] [--size 32] [--people 24] [--clips 12]

Two datasets of clear motion: in one an expression that both groups show is another emotion in each (a planted group
effect), in the other it is one emotion. The groups have lamps of different colours, which the apex frame shows and the
cube does not. On each, with each seed, `resnet18` (the cube) and `dual-resnet18-rgb` (the cube and the apex frame, with
an ethnicity head) are trained by 3-fold over people; then, with one seed, the paper's other two models on the
planted effect, and a control with shuffled labels. Of fewer people than some twenty the colours of faces say who
somebody is rather than whose lamp it was, and the ethnicity head learns the people. All networks see small pictures,
TinyViT too, which pads its windows. OUT/fusion.json has the choices and all results, and is written after every run, so
a stopped study goes on, and a finished one with more seeds; with other choices it is refused.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.datasets import read_manifest
from flowkit.extraction.run import extract
from flowkit.output.files import make_folder, put_text
from flowkit.synthetic.dataset import make_dataset
from trainer.catalogue import find
from trainer.data import load, resize_rgb
from trainer.run import run_here
from trainer.samples import Samples, shuffle_labels
from trainer.statistics import DRAWS, accuracy_of, counts_by_person, networks_of, paired_permutation, uf1_of
from trainer.types import RunConfig

MODELS = ("resnet18", "dual-resnet18-rgb")
OTHERS = ("dual-resnet18", "resnet18-tinyvit")
OTHERS_SEEDS = 1
CONDITIONS = {"group effect": True, "no group effect": False}
CHOICES = ("epochs", "size", "people", "clips")
"""The options that decide every result."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--people", type=int, default=24)
    parser.add_argument("--clips", type=int, default=12, help="Of each person and emotion.")
    chosen = parser.parse_args()
    told = chosen.out / "fusion.json"
    study = opened(told, chosen)
    data = {
        name: samples_of(chosen.out / name.replace(" ", "-"), effect, chosen) for name, effect in CONDITIONS.items()
    }
    for seed in range(chosen.seeds):
        for name, samples in data.items():
            for model in MODELS:
                _measure(study, told, samples, name, model, seed, chosen)
    planted = data["group effect"]
    for seed in range(min(chosen.seeds, OTHERS_SEEDS)):
        _measure(study, told, shuffle_labels(planted, seed), "shuffled", MODELS[1], seed, chosen)
        for model in OTHERS:
            _measure(study, told, planted, "group effect", model, seed, chosen)
    print("\n".join(lines(study["runs"])), flush=True)


def opened(told: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """The `choices` and `runs` of a study, a new one where there is none; SystemExit where it was made with others."""
    choices = {name: getattr(chosen, name) for name in CHOICES}
    if not told.exists():
        make_folder(told.parent)
        study: dict[str, Any] = {"choices": choices, "runs": {}}
        put_text(told, json.dumps(study) + "\n")
        return study
    study = json.loads(told.read_text())
    if "choices" not in study:
        raise SystemExit(f"{told}: does not say with which choices it was made; give another OUT")
    if any("networks" not in run for run in study["runs"].values()):
        raise SystemExit(f"{told}: does not say which people a network predicts; give another OUT")
    for name, value in choices.items():
        if (before := study["choices"].get(name)) != value:
            raise SystemExit(f"{told}: was made with --{name} {before}, not {value}; give that, or another OUT")
    return study


def samples_of(folder: Path, effect: bool, chosen: argparse.Namespace) -> Samples:
    """The dataset's rows, made and extracted as far as they are not there yet, with the apex frames in colour."""
    if not (folder / "manifest.parquet").exists():  # which is written last
        make_dataset(
            folder, subjects=chosen.people, clips=chosen.clips, size=64, difficulty="clear", group_effect=effect
        )
    extract(folder / "manifest.parquet", folder / "shards", pairs="onset-apex")
    samples = load(folder / "shards", RunConfig(size=chosen.size))
    clips = {clip.clip_id: clip for clip in read_manifest(folder / "manifest.parquet")}
    frames = [_apex(Path(clips[name].source), clips[name].apex, chosen.size) for name in samples.clip_id]
    return dataclasses.replace(samples, rgb=np.stack(frames))


def _apex(source: Path, apex: int | None, size: int) -> NDArray[np.uint8]:
    frame = cv2.imread(str(source / f"img{apex:03d}.jpg"))
    if frame is None:
        raise SystemExit(f"{source}: frame {apex} cannot be read")
    return resize_rgb(np.ascontiguousarray(frame[..., ::-1].transpose(2, 0, 1)), (size, size))


def _measure(
    study: dict[str, Any], told: Path, samples: Samples, name: str, model: str, seed: int, chosen: argparse.Namespace
) -> None:
    key = f"{name}/{model}/{seed}"
    if key in study["runs"]:
        return
    if not find(model).rgb:
        samples = dataclasses.replace(samples, rgb=None)
    config = RunConfig(
        model=model,
        protocol="kfold:3",
        epochs=chosen.epochs,
        batch=32,
        normalise="signed_global",
        seed=seed,
        device="cpu",
    )
    start = time.process_time()
    result = run_here(samples, config)
    seconds = time.process_time() - start
    counts = counts_by_person(samples.emotion, result.predicted, samples.people)
    group = None
    if "ethnicity" in result.heads:
        said = [result.ethnic_classes[k] for k in result.heads["ethnicity"].argmax(axis=1)]
        group = float(np.mean([a == b for a, b in zip(said, samples.group, strict=True)]))
    ends = [[fold.curves[end]["loss"] for fold in result.folds] for end in (0, -1)]
    first, last = (float(np.mean(losses)) for losses in ends)
    study["runs"][key] = {
        "counts": counts.tolist(),
        "networks": networks_of(samples.people, result.fold_of.tolist()).tolist(),
        "ethnicity_accuracy": group,
        "first_loss": first,
        "last_loss": last,
        "cpu_seconds": seconds,
    }
    put_text(told, json.dumps(study) + "\n")
    pooled = counts.sum(axis=0)
    print(
        f"{key}: UF1 {float(uf1_of(pooled)):.3f}, accuracy {float(accuracy_of(pooled)):.3f}, group {group}, "
        f"loss {first:.2f} to {last:.2f}, {seconds:.0f} CPU s",
        flush=True,
    )


def lines(found: dict[str, Any]) -> list[str]:
    """Means over seeds, and the gain of fusion with its interval and p by people, of as many seeds as both have."""
    told = []
    for name in CONDITIONS:
        counts = [_seeds(found, name, model) for model in MODELS]
        n = min(map(len, counts))
        if n:
            networks = _seeds(found, name, MODELS[0], "networks")
            told.append(f"{name}: {gain(counts[0][:n], counts[1][:n], networks[:n])}")
    for model in OTHERS:
        if counts := _seeds(found, "group effect", model):
            told.append(f"group effect, {model}: {_mean(counts)}")
    if shuffled := _seeds(found, "shuffled", MODELS[1]):
        told.append(f"shuffled labels: {_mean(shuffled)}; chance is 0.33")
    return told


def _mean(runs: list[NDArray[np.int64]]) -> str:
    return f"UF1 {np.mean([float(uf1_of(counts.sum(axis=0))) for counts in runs]):.3f} over {len(runs)} seeds"


def gain(without: list[NDArray[np.int64]], fused: list[NDArray[np.int64]], networks: list[NDArray[np.int64]]) -> str:
    """The mean UF1 of both' seeds, and the difference: its interval by bootstrap over people, in all seeds at once."""
    first, second = np.array(without), np.array(fused)
    people = first.shape[1]
    weights = np.random.default_rng(0).multinomial(people, np.full(people, 1 / people), size=DRAWS)
    means = [uf1_of(np.tensordot(weights, counts, axes=(1, 1))).mean(axis=-1) for counts in (first, second)]
    low, high = np.quantile(means[1] - means[0], [0.025, 0.975])
    difference, p = paired_permutation(second, first, uf1_of, networks=networks)
    trained = sum(len(set(own.tolist())) for own in networks)
    told = [float(uf1_of(counts.sum(axis=1)).mean()) for counts in (first, second)]
    return (
        f"UF1 {told[0]:.3f} without, {told[1]:.3f} with fusion over {len(without)} seeds; "
        f"gain {difference:+.3f} ({low:+.3f} to {high:+.3f}), p = {p:.4f} by {people} people and {trained} networks"
    )


def _seeds(found: dict[str, Any], name: str, model: str, what: str = "counts") -> list[NDArray[np.int64]]:
    """The counts, or another array, of each seed's run, the lowest seed first."""
    start = f"{name}/{model}/"
    keys = sorted((key for key in found if key.startswith(start)), key=lambda key: int(key.removeprefix(start)))
    return [np.array(found[key][what], dtype=np.int64) for key in keys]


if __name__ == "__main__":
    main()
