"""The audit of one of our runs: its predictions, and what its folder, its shards and its saved networks add."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from flowkit.errors import FlowkitError, InputError
from trainer.audit.checks import audit_predictions
from trainer.audit.cubes import near_identical, strain_axes
from trainer.audit.findings import Finding, shortened
from trainer.audit.predictions import SEVERAL_FOLDS, Predictions, plain_text, read_predictions
from trainer.catalogue import find
from trainer.data import load
from trainer.folds import Fold
from trainer.run import division, folds_of
from trainer.run_folder import PREDICTIONS, RunFolder
from trainer.samples import Samples
from trainer.saved import config_of, load_trained
from trainer.train import fold_seed, inner_split, predict
from trainer.types import SLIPS, RunConfig

SAME_PROBABILITY = 1e-4
"""Probabilities of a row alone and among others may differ by so much, by rounding in other kernels."""
FOLDS_TRIED = 3
OF_SHARDS = (
    "same samples",
    "division into folds",
    "people in training",
    "near-identical cubes",
    "strain axes",
    "batch mates",
    "action units",
)
"""Checks that need what the run was trained on."""


def audit_run(run: Path, shards: Path | None = None) -> list[Finding]:
    """All checks of a run's folder.

    Args:
        shards: the output of flowkit extract that it was trained on; None for where config.json says it was.

    Raises:
        OutputError: where the folder holds no finished run.
    """
    record = RunFolder(run).record()
    config = config_of(record)
    found = _with_epochs(read_predictions(run / PREDICTIONS), run, record)
    out = shards or Path(record["input"]["shards"])
    try:
        samples = load(out, config)
    except FlowkitError as error:
        reason = f"the shards cannot be read ({error}); give them by --shards"
        unread = [Finding(check, "not checked", reason) for check in OF_SHARDS]
        return [*_of_predictions(found, config), backbones(config), *unread]
    folds = folds_of(samples, config)
    divided = same_folds(found, samples, folds, record)
    if divided.verdict == "passed" and found.clip == _clips(samples):
        found = with_training(found, samples, folds, config)
    return [
        same_samples(samples, record),
        divided,
        *audit_samples(found, samples, folds, config, run),
        unit_labels(samples, out, config),
    ]


def audit_samples(
    found: Predictions, samples: Samples, folds: list[Fold], config: RunConfig, run: Path
) -> list[Finding]:
    """The checks of predictions, and those that the samples and the saved networks of the run's folder allow."""
    return [
        *_of_predictions(found, config),
        people_in_training(samples, folds),
        near_identical(samples.cubes, samples.clip_id, samples.people, folds),
        strain_axes(samples.cubes, samples.source.get("extracted_sizes", ())),
        backbones(config),
        batch_mates(run, samples, folds, config),
    ]


def with_training(found: Predictions, samples: Samples, folds: list[Fold], config: RunConfig) -> Predictions:
    """Predictions of these samples, row for row, with the rows that each fold trains on: without the people set aside
    to choose the epoch.
    """
    training = {
        str(fold.index): inner_split(samples, fold, config, fold_seed(config.seed, fold.index))[0] for fold in folds
    }
    return dataclasses.replace(found, training=training)


def _clips(samples: Samples) -> tuple[str, ...]:
    """Each row's clip as `read_predictions` reads it."""
    return tuple(map(plain_text, samples.clip_id))


def _of_predictions(found: Predictions, config: RunConfig) -> list[Finding]:
    select = "held-out" if "best-epoch" in config.slips else config.select
    findings = audit_predictions(found, select=select, shuffled=config.shuffle_labels)
    if config.protocol in SEVERAL_FOLDS:  # `people_in_training` reads from the folds what they train on
        findings = [each for each in findings if each.check != "people on both sides"]
    return [*findings, *slips_on_purpose(config)]


def slips_on_purpose(config: RunConfig) -> list[Finding]:
    """What the run repeats on purpose: known without a trace of it, as where no network was saved."""
    name = "slips on purpose"
    if not config.slips:
        return [Finding(name, "passed", "the run repeats no slip on purpose")]
    return [Finding(name, "slip", f"{slip}: {SLIPS[slip]}") for slip in config.slips]


def backbones(config: RunConfig) -> Finding:
    """Whether a dual network is one: with one backbone in both places its two feature vectors are the same."""
    name = "backbones"
    if not find(config.model).ethnic:
        return Finding(name, "passed", f"{config.model} has one backbone, and says so")
    if config.shared:
        what = "of the same network, on the apex frame" if find(config.model).rgb else "a copy"
        told = f"{config.model} has one backbone in both places: what is fused with the emotion's features is {what}"
        return Finding(name, "slip", told)
    return Finding(name, "passed", f"{config.model} has two backbones of its own")


def unit_labels(samples: Samples, out: Path, config: RunConfig) -> Finding:
    """Whether the action units are those that the annotations name, read by their grammar."""
    name = "action units"
    if samples.units is None or config.shuffle_labels:
        return Finding(name, "passed", "the run's labels are not read from action units")
    named = load(out, dataclasses.replace(config, slips=())).units
    wrong = np.flatnonzero((samples.units != named).any(axis=1))
    if len(wrong):
        told = f"{len(wrong)} of {len(samples)} rows have units that their annotation does not name"
        return Finding(name, "slip", told, shortened([samples.clip_id[i] for i in wrong.tolist()]))
    return Finding(name, "passed", f"the units of {len(samples)} rows are those that their annotations name")


def same_samples(samples: Samples, record: dict[str, Any]) -> Finding:
    """Whether the shards still hold what the run was trained on; else the other checks are about something else.

    Of a run that permuted its labels the record has the samples before.
    """
    if samples.digest() == record["input"].get("unshuffled_sha256", record["samples_sha256"]):
        return Finding("same samples", "passed", f"the {len(samples)} samples are those of the run, bit for bit")
    return Finding("same samples", "warning", "the shards hold other samples than the run was trained on")


def same_folds(found: Predictions, samples: Samples, folds: list[Fold], record: dict[str, Any]) -> Finding:
    """Whether the run's folds were those that its protocol makes of these samples, in whatever order, which other
    checks go by.
    """
    name = "division into folds"
    if division(folds) != record["folds"]:
        return Finding(name, "warning", "the protocol divides these samples otherwise than config.json says")
    clips = _clips(samples)
    fold_of = {clips[row]: str(fold.index) for fold in folds for row in fold.held_out.tolist()}
    if found.clip is None or found.fold is None or set(found.clip) != fold_of.keys():
        return Finding(name, "warning", "the shards hold other clips than were predicted")
    if other := sum(fold != fold_of[clip] for clip, fold in zip(found.clip, found.fold, strict=True)):
        return Finding(name, "leak", f"{other} rows were predicted by another fold than the one that holds them out")
    return Finding(name, "passed", f"the {len(folds)} folds are those of the protocol, and each row is of its own")


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
    if config.model == "svc":
        return Finding(name, "passed", "model svc predicts each row by itself")
    saved = [fold for fold in folds if RunFolder(run).weights_path(fold.index).exists() and len(fold.held_out) > 1]
    if not saved:
        return Finding(name, "not checked", "no fold's network was saved; run again with --save-weights")
    worst = 0.0
    for fold in saved[:FOLDS_TRIED]:
        trained = load_trained(run, fold.index)
        together = predict(trained, samples, fold.held_out, config)
        try:
            alone = [predict(trained, samples, fold.held_out[i : i + 1], config) for i in range(len(fold.held_out))]
        except InputError as error:  # one value a channel has no statistics of its own
            return Finding(name, "leak", f"fold {fold.name}: a row alone cannot be predicted ({error})")
        for head, values in together.items():
            single = np.concatenate([row[head] for row in alone])
            worst = max(worst, float(np.abs(values - single).max()))
    told = f"rows predicted alone and together differ by at most {worst:.2g} in {len(saved[:FOLDS_TRIED])} folds"
    return Finding(name, "leak" if worst > SAME_PROBABILITY else "passed", told)


def _with_epochs(found: Predictions, run: Path, record: dict[str, Any]) -> Predictions:
    """The predictions with the epoch that each fold's file names."""
    fold_of, epochs = np.array(found.fold or (), dtype=str), {}
    for each in record["folds"]:
        held_out = np.flatnonzero(fold_of == str(each["fold"]))
        fold = Fold(each["fold"], each["name"], np.array([], dtype=np.int64), held_out)
        if (read := RunFolder(run).read_fold(fold)) is not None:
            epochs[str(fold.index)] = int(read.about["epoch"])
    if found.fold and set(found.fold) <= set(epochs):
        return dataclasses.replace(found, epoch=tuple(epochs[name] for name in found.fold))
    return found
