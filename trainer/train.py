"""One fold is one function: train on everybody else, then predict the held-out subject once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from flowkit.errors import InputError
from trainer.data import Cubes, Samples, ethnic_targets, normalisation
from trainer.folds import Fold, loso
from trainer.losses import total_loss
from trainer.models import Weights, build_model, pretrained_weights
from trainer.types import CLASSES, RunConfig


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What one fold gives: predictions of its held-out subject."""

    fold: Fold
    probabilities: NDArray[np.float32]
    """(rows of the held-out subject, 3), in the order of fold.held_out."""
    seconds: float


@dataclass(frozen=True, slots=True)
class LosoResult:
    """The pooled predictions of all folds; row i is row i of the samples."""

    probabilities: NDArray[np.float32]
    """(n, 3), each row from the one fold that had not seen its subject."""
    fold_of: NDArray[np.int64]
    """(n,) the fold that predicted each row."""
    folds: list[FoldResult]
    device: str
    threads: int
    """CPU threads of torch; on a CPU the last bits depend on their number."""

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(n,) the most probable class; the first of equals."""
        predicted: NDArray[np.int64] = self.probabilities.argmax(axis=1).astype(np.int64)
        return predicted


def run_loso(
    samples: Samples, config: RunConfig, on_fold: Callable[[FoldResult, int], None] = lambda result, total: None
) -> LosoResult:
    """Leave-one-subject-out over all subjects, folds in a fixed order; `on_fold` is told of each with their number.

    The same samples, config, software, machine and thread count give the same bits. Raises InputError for samples that
    the model cannot be trained on.
    """
    folds = loso(samples.dataset, samples.subject)
    device = choose_device(config.device)
    weights = pretrained_weights(config.pretrained)
    probabilities = np.full((len(samples), len(CLASSES)), np.nan, dtype=np.float32)
    fold_of = np.full(len(samples), -1, dtype=np.int64)
    results = []
    with torch_threads(config.threads):
        for fold in folds:
            result = run_fold(samples, fold, config, device=device, weights=weights)
            probabilities[fold.held_out] = result.probabilities
            fold_of[fold.held_out] = fold.index
            results.append(result)
            on_fold(result, len(folds))
        return LosoResult(probabilities, fold_of, results, str(device), torch.get_num_threads())


def run_fold(
    samples: Samples,
    fold: Fold,
    config: RunConfig,
    *,
    device: torch.device | None = None,
    weights: Weights | None = None,
) -> FoldResult:
    """One whole fold. The held-out subject's cubes are read once, after training, and its emotions nowhere.

    Raises InputError as `fit`, and for a cube of which the model makes no finite probabilities.
    """
    start = time.perf_counter()
    model, normalise = train_fold(samples, fold, config, device=device or choose_device(config.device), weights=weights)
    probabilities = predict(model, normalise(samples.cubes[fold.held_out]))
    finite = np.isfinite(probabilities).all(axis=1)
    if not finite.all():
        clip = samples.clip_id[fold.held_out[int(np.argmin(finite))]]
        raise InputError(f"{clip}: the model gives no finite probabilities; check the clip's flow, or normalise it")
    return FoldResult(fold, probabilities, time.perf_counter() - start)


def train_fold(
    samples: Samples, fold: Fold, config: RunConfig, *, device: torch.device, weights: Weights | None = None
) -> tuple[nn.Module, Callable[[Cubes], Cubes]]:
    """The fold's trained model and its fitted normalisation, both from the training rows alone."""
    training = samples.cubes[fold.train]
    normalise = normalisation(config.normalise, training)
    ethnicity, ethnic_classes = None, 0
    if config.model.startswith("dual"):
        names, targets = ethnic_targets(samples)
        ethnicity, ethnic_classes = targets[fold.train], len(names)
    model = fit(
        normalise(training),
        samples.emotion[fold.train],
        ethnicity,
        config,
        seed=fold_seed(config.seed, fold.index),
        ethnic_classes=ethnic_classes,
        device=device,
        weights=weights,
    )
    return model, normalise


def fit(
    cubes: Cubes,
    emotion: NDArray[np.int64],
    ethnicity: NDArray[np.int64] | None,
    config: RunConfig,
    *,
    seed: int,
    ethnic_classes: int = 0,
    device: torch.device,
    weights: Weights | None = None,
) -> nn.Module:
    """A model trained for a fixed number of epochs on (n, 3, h, w) normalised cubes and (n,) class numbers.

    Adam with an exponentially decaying step. Initial weights and the order of the samples come from `seed` alone.
    Raises InputError for fewer than two samples or a loss that is no longer finite.
    """
    if len(cubes) < 2:
        raise InputError(f"a fold has {len(cubes)} training sample; batch normalisation needs at least 2")
    with deterministic():
        model = _new_model(config.model, ethnic_classes, weights, seed).to(device).train()
        inputs = torch.from_numpy(np.ascontiguousarray(cubes)).to(device)
        emotions = torch.from_numpy(emotion).to(device)
        groups = None if ethnicity is None else torch.from_numpy(ethnicity).to(device)
        shuffle = torch.Generator().manual_seed(seed)
        optimiser = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, gamma=config.decay)
        for epoch in range(config.epochs):
            for batch in batches(len(inputs), config.batch, shuffle):
                rows = batch.to(device)
                optimiser.zero_grad()
                targets = None if groups is None else groups[rows]
                loss = total_loss(model(inputs[rows]), emotions[rows], targets, config.loss_weights)
                loss.backward()
                optimiser.step()
            schedule.step()
            if not bool(torch.isfinite(loss)):
                value = loss.item()
                raise InputError(f"lr={config.lr}: the loss is {value} after epoch {epoch + 1}; lower --lr")
        if config.precise_batch_norm:
            settle_batch_norm(model, inputs, batches(len(inputs), config.batch, shuffle))
    return model


def _new_model(name: str, ethnic_classes: int, weights: Weights | None, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
        torch.default_generator.manual_seed(seed)
        return build_model(name, ethnic_classes=ethnic_classes, weights=weights)


def batches(n: int, size: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Row numbers of one epoch in random order, in batches of `size`, every row once.

    A last batch of one row would have no variance to normalise by, so that row joins the batch before it.
    """
    parts = list(torch.randperm(n, generator=generator).split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def settle_batch_norm(model: nn.Module, inputs: torch.Tensor, parts: list[torch.Tensor]) -> None:
    """Replace the running statistics of batch norm by their means over the given batches of training rows.

    Running averages follow the weights with a delay of some 10 steps. A fold of a small dataset makes few steps, so the
    averages describe a network that is gone, and predictions collapse (Wu and Johnson, Rethinking "Batch" in BatchNorm,
    2021, section 3, who call this PreciseBN).
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over batches
    with torch.no_grad():
        for rows in parts:
            model(inputs[rows.to(inputs.device)])
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def predict(model: nn.Module, cubes: Cubes, batch: int = 128) -> NDArray[np.float32]:
    """Class probabilities (n, 3) of normalised cubes (n, 3, h, w). Evaluation mode: nothing in the model changes."""
    model.eval()
    device = next(model.parameters()).device
    parts = []
    with deterministic(), torch.inference_mode():
        for start in range(0, len(cubes), batch):
            inputs = torch.from_numpy(np.ascontiguousarray(cubes[start : start + batch])).to(device)
            parts.append(model(inputs).prediction.softmax(dim=1).cpu().numpy())
    return np.concatenate(parts).astype(np.float32, copy=False)


def fold_seed(seed: int, fold: int) -> int:
    """A seed of the fold's own, so that a fold gives the same alone as among others."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1, np.uint64)[0] >> 1)


def choose_device(name: str) -> torch.device:
    """The torch device for auto, cpu or cuda; InputError for cuda where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device='cuda': torch finds no usable GPU here; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


@contextmanager
def deterministic() -> Iterator[None]:
    """Algorithms that give the same bits every time, within the block."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    before = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """CPU threads of torch within the block; None leaves them."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
