"""The audit of one of our runs: its predictions, and what its folder, its shards and its saved networks add."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from flowkit.errors import FlowkitError
from trainer.audit.checks import audit_predictions
from trainer.audit.cubes import near_identical
from trainer.audit.findings import Finding, shortened
from trainer.audit.predictions import Predictions, read_predictions
from trainer.data import load
from trainer.folds import Fold
from trainer.run import folds_of
from trainer.run_folder import PREDICTIONS, RunFolder
from trainer.samples import Samples
from trainer.saved import config_of, load_trained
from trainer.train import predict
from trainer.types import RunConfig

SAME_PROBABILITY = 1e-4
"""Probabilities of a row alone and among others may differ by so much, by rounding in other kernels."""
FOLDS_TRIED = 3


def audit_run(run: Path, shards: Path | None = None) -> list[Finding]:
    """All checks of a run's folder.

    Args:
        shards: the output of flowkit extract that it was trained on; None for where config.json says it was.

    Raises:
        OutputError: where the folder holds no finished run.
    """
    record = RunFolder(run).record()
    config = config_of(record)
    found = read_predictions(run / PREDICTIONS)
    try:
        samples = load(shards or Path(record["input"]["shards"]), config)
    except FlowkitError as error:
        reason = f"the shards cannot be read ({error}); give them by --shards"
        unread = [Finding(check, "not checked", reason) for check in ("near-identical cubes", "batch mates")]
        return [*audit_predictions(found, select=config.select, shuffled=config.shuffle_labels), *unread]
    folds = folds_of(samples, config)
    found = _with_epochs(found, run, folds)
    return [
        *audit_predictions(found, select=config.select, shuffled=config.shuffle_labels),
        same_samples(samples, str(record["samples_sha256"]), shuffled=config.shuffle_labels),
        people_in_training(samples, folds),
        near_identical(samples.cubes, samples.clip_id, samples.people),
        batch_mates(run, samples, folds, config),
    ]


def same_samples(samples: Samples, digest: str, *, shuffled: bool) -> Finding:
    """Whether the shards still hold what the run was trained on; else the other checks are about something else."""
    if shuffled:
        return Finding("same samples", "not checked", "the run permuted its labels, so its samples are no shard's")
    if samples.digest() == digest:
        return Finding("same samples", "passed", f"the {len(samples)} samples are those of the run, bit for bit")
    return Finding("same samples", "warning", "the shards hold other samples than the run was trained on")


def people_in_training(samples: Samples, folds: list[Fold]) -> Finding:
    """Whether any fold trains on a row of a person whom it holds out."""
    who = np.asarray(samples.people)
    both = {
        f"{person} (fold {fold.name})"
        for fold in folds
        for person in np.intersect1d(who[fold.train], who[fold.held_out])
    }
    if both:
        told = f"{len(both)} people train the fold that holds them out"
        return Finding("people in training", "leak", told, shortened(sorted(both)))
    return Finding("people in training", "passed", f"no fold of {len(folds)} trains on a person whom it holds out")


def batch_mates(run: Path, samples: Samples, folds: list[Fold], config: RunConfig) -> Finding:
    """Whether a prediction depends on the rows that are predicted with it, as it does by batch statistics of tests."""
    name = "batch mates"
    saved = [fold for fold in folds if RunFolder(run).weights_path(fold.index).exists() and len(fold.held_out) > 1]
    if not saved:
        return Finding(name, "not checked", "no fold's network was saved; run again with --save-weights")
    worst = 0.0
    for fold in saved[:FOLDS_TRIED]:
        trained = load_trained(run, fold.index)
        together = predict(trained, samples, fold.held_out, config)
        alone = [predict(trained, samples, fold.held_out[i : i + 1], config) for i in range(len(fold.held_out))]
        for head, values in together.items():
            single = np.concatenate([row[head] for row in alone])
            worst = max(worst, float(np.abs(values - single).max()))
    told = f"rows predicted alone and together differ by at most {worst:.2g} in {len(saved[:FOLDS_TRIED])} folds"
    return Finding(name, "leak" if worst > SAME_PROBABILITY else "passed", told)


def _with_epochs(found: Predictions, run: Path, folds: list[Fold]) -> Predictions:
    """The predictions with the epoch that each fold's file names."""
    place = RunFolder(run)
    epochs = {str(fold.index): read.about["epoch"] for fold in folds if (read := place.read_fold(fold)) is not None}
    if set(found.fold) <= set(epochs):
        return dataclasses.replace(found, epoch=tuple(int(epochs[name]) for name in found.fold))
    return found
