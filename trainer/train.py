"""One fold is one function: train on everybody else, then predict the held-out people once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from flowkit.errors import InputError, Interrupted
from trainer.batch_norm import batch_statistics, settle_batch_norm
from trainer.catalogue import find
from trainer.folds import Fold
from trainer.inputs import Inputs, arranged, autocast, batches, choose_device, deterministic, seeded
from trainer.losses import head_losses, total_loss
from trainer.models import Outputs, Weights, build_model, pretrained_weights
from trainer.models.svc import SupportVectors
from trainer.normalisation import Normaliser, fit_normaliser
from trainer.samples import Samples, ethnic_targets
from trainer.types import RunConfig

Heads = dict[str, NDArray[np.float32]]
"""Probabilities of each head that a model has, by name, (n, classes of the head)."""
OnEpoch = Callable[[int, int], None]
"""Is told of each finished epoch: how many are done, of how many."""
_NO_MEMORY = ("allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""Signs in the text of a RuntimeError of torch that memory has run out."""
BackboneWeights = tuple[Weights | None, Weights | None]
Curves = list[dict[str, float | None]]
"""Of each epoch its number from 1, `lr`, the mean `loss` of its batches and that of each head, and, with
select="inner", `inner_loss`, None where that is not finite."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What the training rows of a fold, and nothing else, have made."""

    model: nn.Module | SupportVectors
    normalise: Normaliser
    ethnic_classes: tuple[str, ...]
    """The groups that the ethnicity head tells apart: those of the training rows, sorted."""
    curves: Curves
    epoch: int
    """The epoch whose weights these are."""


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What one fold gives: predictions of its held-out rows."""

    fold: Fold
    heads: Heads
    """Rows in the order of fold.held_out."""
    ethnic_classes: tuple[str, ...]
    curves: Curves
    epoch: int
    seconds: float

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """(held-out rows, classes) of the head that decides: fusion where there is one."""
        return self.heads.get("fusion", self.heads["emotion"])


def run_fold(
    samples: Samples,
    fold: Fold,
    config: RunConfig,
    *,
    device: torch.device | None = None,
    weights: BackboneWeights | None = None,
) -> FoldResult:
    """One whole fold. The held-out rows' pictures are read once, after training, and their labels nowhere.

    Raises as `train_fold` and `predict_fold`.
    """
    start = time.perf_counter()
    trained = train_fold(samples, fold, config, device=device, weights=weights)
    return predict_fold(trained, samples, fold, config, start=start)


def train_fold(
    samples: Samples,
    fold: Fold,
    config: RunConfig,
    *,
    device: torch.device | None = None,
    weights: BackboneWeights | None = None,
    on_epoch: OnEpoch = lambda done, epochs: None,
) -> Trained:
    """The fold's model and its normalisation, both from the training rows alone; head sizes too.

    Raises InputError for rows that the model cannot be trained on, and Interrupted where memory runs out.
    """
    device = device or choose_device(config.device)
    seed = fold_seed(config.seed, fold.index)
    rows, inner = inner_split(samples, fold, config, seed)
    normalise = fit_normaliser(config.normalise, samples.cubes, rows)
    with told(fold, config):
        if config.model == "svc":
            cubes = normalise(samples.cubes[rows])
            machine = SupportVectors(len(config.classes)).fit(cubes, samples.targets[rows])
            return Trained(machine, normalise, (), [], 0)
        names, data = _fold_data(samples, fold, rows, normalise, config, device)
        check = FoldData(Inputs(samples, inner, normalise, device), _targets(samples, inner, device))
        model, curves, epoch = fit(
            data,
            config,
            seed=seed,
            ethnic_classes=len(names),
            weights=weights or load_weights(config),
            inner=check if len(inner) else None,
            on_epoch=on_epoch,
        )
    return Trained(model, normalise, names, curves, epoch)


def predict_fold(trained: Trained, samples: Samples, fold: Fold, config: RunConfig, *, start: float) -> FoldResult:
    """Predicts the held-out rows; `start` is when the fold began, by time.perf_counter().

    Raises InputError for a cube of which the model makes no finite probabilities; Interrupted where memory runs out.
    """
    with told(fold, config):
        heads = predict(trained, samples, fold.held_out, config)
    for values in heads.values():
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            clip = samples.clip_id[fold.held_out[int(np.argmin(finite))]]
            raise InputError(f"{clip}: the model gives no finite probabilities; check the clip's flow, or normalise it")
    seconds = time.perf_counter() - start
    return FoldResult(fold, heads, trained.ethnic_classes, trained.curves, trained.epoch, seconds)


def require_trainable(samples: Samples, folds: Sequence[Fold], config: RunConfig) -> None:
    """Raises what the people, rows and groups of any fold would make `train_fold` raise, before the first is."""
    for fold in folds:
        rows, _ = inner_split(samples, fold, config, fold_seed(config.seed, fold.index))
        if len(rows) < 2 and config.model != "svc":
            other = ", or --select fixed" if config.select == "inner" else ""
            raise InputError(
                f"fold {fold.name}: trains on {len(rows)} row, and batch normalisation needs at least 2; give more "
                f"clips{other}"
            )
        if find(config.model).ethnic:
            _groups(samples, fold, rows, config)


def inner_split(
    samples: Samples, fold: Fold, config: RunConfig, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The training rows that are trained on, and those of the people who tell when to stop (none with select="fixed").

    With the slip best-epoch it is the held-out people who tell. Of a model that learns groups, nobody is set aside who
    alone shows one. Raises InputError where there are fewer than two training people to divide, or each shows a group
    alone.
    """
    if "best-epoch" in config.slips:
        return fold.train, fold.held_out
    if config.select == "fixed" or config.model == "svc":
        return fold.train, fold.train[:0]
    who = np.asarray(samples.people)[fold.train]
    names = np.unique(who)
    if len(names) < 2:
        raise InputError(f"fold {fold.name}: has 1 training person, and --select inner needs at least 2")
    count = min(max(1, round(config.inner_share * len(names))), len(names) - 1)
    drawn = np.random.default_rng([seed, 1]).permutation(names).tolist()
    if find(config.model).ethnic:
        drawn = _groups_kept(drawn, who.tolist(), [samples.group[i] for i in fold.train], count)
    if not drawn:
        raise InputError(
            f"fold {fold.name}: each group is shown by 1 training person, and --select inner needs 2 of one"
        )
    aside = np.isin(who, drawn[:count])
    return fold.train[~aside], fold.train[aside]


def _groups_kept(drawn: list[str], who: list[str], group: list[str | None], count: int) -> list[str]:
    """Up to `count` of the people, in the order drawn, without whom the others still show every group."""
    shown: dict[str, set[str | None]] = {}
    for person, name in zip(who, group, strict=True):
        shown.setdefault(person, set()).add(name)
    aside: list[str] = []
    for person in drawn:
        rest = [shown[other] for other in shown if other not in (*aside, person)]
        if len(aside) < count and shown[person] <= set().union(*rest):
            aside.append(person)
    return aside


@dataclass(frozen=True, slots=True)
class FoldData:
    """Rows with their targets, on the device."""

    inputs: Inputs
    emotion: torch.Tensor
    """(n,) class numbers, or (n, units) zeros and ones as float32."""
    ethnicity: torch.Tensor | None = None
    """(n,) class numbers."""


def _fold_data(
    samples: Samples,
    fold: Fold,
    rows: NDArray[np.int64],
    normalise: Normaliser,
    config: RunConfig,
    device: torch.device,
) -> tuple[tuple[str, ...], FoldData]:
    """The groups that the rows show, where the model learns them, and the rows with their targets."""
    inputs, emotion = Inputs(samples, rows, normalise, device), _targets(samples, rows, device)
    if not find(config.model).ethnic:
        return (), FoldData(inputs, emotion)
    names, ethnicity = _groups(samples, fold, rows, config)
    return names, FoldData(inputs, emotion, torch.from_numpy(ethnicity).to(device))


def _groups(
    samples: Samples, fold: Fold, rows: NDArray[np.int64], config: RunConfig
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    names, ethnicity = ethnic_targets(samples, rows)
    if len(names) < 2:
        raise InputError(f"fold {fold.name}: trains on 1 group ({names[0]}); {config.model} needs 2")
    return names, ethnicity


def fit(
    data: FoldData,
    config: RunConfig,
    *,
    seed: int,
    ethnic_classes: int = 0,
    weights: BackboneWeights = (None, None),
    inner: FoldData | None = None,
    on_epoch: OnEpoch = lambda done, epochs: None,
) -> tuple[nn.Module, Curves, int]:
    """A trained model, its curves and the epoch that counts: the last, or the best on `inner`.

    The step decays exponentially. Initial weights, dropout and the order of the rows come from `seed` alone. Raises
    InputError for fewer than two rows, for a loss that is no longer finite, and where no epoch's inner loss is finite.
    """
    n, device = len(data.inputs), data.inputs.device
    if n < 2:
        raise InputError(f"a fold has {n} training sample; batch normalisation needs at least 2")
    curves: Curves = []
    best = _Best()
    with deterministic(), seeded(seed, device):
        model = arranged(_new_model(config, ethnic_classes, weights), device, data.inputs.side).train()
        forward = torch.compile(model) if config.compile else model
        order, settling = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)
        optimiser = _optimiser(model, config)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, gamma=config.decay)
        for epoch in range(1, config.epochs + 1):
            losses = _epoch(forward, data, optimiser, config, order)
            curves.append({"epoch": epoch, "lr": float(schedule.get_last_lr()[0]), **losses})
            schedule.step()
            if not np.isfinite(losses["loss"]):
                raise InputError(f"lr={config.lr}: the loss is {losses['loss']} after epoch {epoch}; lower --lr")
            if config.precise_batch_norm and (inner is not None or epoch == config.epochs):
                settle_batch_norm(model, data.inputs, batches(n, config.batch, settling), config.precision)
            if inner is not None:
                curves[-1]["inner_loss"] = best.offer(inner_loss(model, inner, config), epoch, model)
            on_epoch(epoch, config.epochs)
    if inner is None:
        return model, curves, config.epochs
    if not best.state:
        raise InputError(f"lr={config.lr}: the inner loss is finite after none of {config.epochs} epochs; lower --lr")
    model.load_state_dict(best.state)
    return model, curves, best.epoch


@dataclass(slots=True)
class _Best:
    """The weights with the lowest finite loss so far, the first of equals; none where no loss was finite."""

    loss: float = math.inf
    epoch: int = 0
    state: dict[str, torch.Tensor] = field(default_factory=dict)

    def offer(self, loss: float, epoch: int, model: nn.Module) -> float | None:
        """Keeps a copy of the weights if they are better; gives the loss back, None where it is not finite."""
        if not math.isfinite(loss):
            return None
        if loss < self.loss:
            self.loss, self.epoch = loss, epoch
            self.state = {name: value.clone() for name, value in model.state_dict().items()}
        return loss


def _new_model(config: RunConfig, ethnic_classes: int, weights: BackboneWeights) -> nn.Module:
    return build_model(
        config.model,
        classes=len(config.classes),
        ethnic_classes=ethnic_classes,
        fusion=config.fusion,
        shared=config.shared,
        weights=weights,
    )


def _epoch(
    forward: Callable[..., Outputs],
    data: FoldData,
    optimiser: torch.optim.Optimizer,
    config: RunConfig,
    order: torch.Generator,
) -> dict[str, float]:
    """One pass over the rows; the mean losses, each weighted by its batch's rows."""
    sums: dict[str, torch.Tensor] = {}
    n = len(data.inputs)
    for numbers in batches(n, config.batch, order):
        cubes, rgb = data.inputs.batch(numbers)
        rows = numbers.to(data.inputs.device)
        optimiser.zero_grad()
        with autocast(cubes.device, config.precision):
            outputs = forward(cubes, rgb)
        losses = head_losses(outputs, data.emotion[rows], None if data.ethnicity is None else data.ethnicity[rows])
        loss = total_loss(losses, config.loss_weights)
        loss.backward()
        optimiser.step()
        for name, value in {"loss": loss, **{f"loss_{head}": part for head, part in losses.items()}}.items():
            sums[name] = sums.get(name, torch.zeros((), device=cubes.device)) + value.detach() * (len(rows) / n)
    return {name: float(value) for name, value in sums.items()}


def _optimiser(model: nn.Module, config: RunConfig) -> torch.optim.Optimizer:
    if config.optimiser == "sgd":
        return torch.optim.SGD(
            model.parameters(), lr=config.lr, momentum=0.9, weight_decay=config.weight_decay, fused=True
        )
    return torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)


def inner_loss(model: nn.Module, inner: FoldData, config: RunConfig) -> float:
    """The mean loss of the head that decides over rows that are not trained on; nothing in the model changes."""
    model.eval()
    total = 0.0
    for numbers, outputs in _evaluated(model, inner.inputs, config.precision):
        rows = numbers.to(inner.inputs.device)
        loss = head_losses(Outputs(outputs.prediction), inner.emotion[rows], None)["emotion"]
        total += float(loss) * len(rows) / len(inner.inputs)
    model.train()
    return total


def predict(trained: Trained, samples: Samples, rows: NDArray[np.int64], config: RunConfig) -> Heads:
    """Probabilities of those rows by each head. Nothing in the model changes, and no row depends on its batch mates."""
    if isinstance(trained.model, SupportVectors):
        return {"emotion": trained.model.probabilities(trained.normalise(samples.cubes[rows]))}
    model = trained.model.eval()
    device = next(model.parameters()).device
    parts: dict[str, list[NDArray[np.float32]]] = {}
    own = "test-batch-norm" in config.slips
    with deterministic(), batch_statistics(model) if own else nullcontext():
        for _, outputs in _evaluated(model, Inputs(samples, rows, trained.normalise, device), config.precision):
            for name, logits in outputs.heads.items():
                multi_label = config.target == "au12" and name != "ethnicity"
                values = logits.float().sigmoid() if multi_label else logits.float().softmax(dim=1)
                parts.setdefault(name, []).append(values.cpu().numpy())
    return {name: np.concatenate(values) for name, values in parts.items()}


def _evaluated(model: nn.Module, inputs: Inputs, precision: str) -> Iterator[tuple[torch.Tensor, Outputs]]:
    """Outputs of all rows in their order, in batches, without gradients."""
    with torch.inference_mode(), autocast(inputs.device, precision):
        for numbers in torch.arange(len(inputs)).split(128):
            yield numbers, model(*inputs.batch(numbers))


def load_weights(config: RunConfig) -> BackboneWeights:
    """The pretrained weights that a run starts from, of each backbone that it has; raises as `pretrained_weights`."""
    info = find(config.model)
    motion = pretrained_weights(config.pretrained, info.pretrained[0]) if config.pretrained else None
    if not info.rgb:
        return motion, motion if info.ethnic else None
    return motion, pretrained_weights(config.pretrained_rgb, info.pretrained[-1])


def fold_seed(seed: int, fold: int) -> int:
    """A seed of the fold's own, so that a fold gives the same alone as among others."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1, np.uint64)[0] >> 1)


@contextmanager
def told(fold: Fold, config: RunConfig) -> Iterator[None]:
    """Within the block memory that runs out, and what a GPU cannot compute reproducibly, is told with the remedy."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if "does not have a deterministic implementation" in text:
            raise InputError(
                f"model={config.model!r}: cannot be trained on a GPU to the same bits every time ({text.split()[0]}); "
                "use --device cpu, or another --model"
            ) from error
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not any(sign in text for sign in _NO_MEMORY):
            raise
        raise Interrupted(
            f"fold {fold.name}: memory ran out with batches of {config.batch}; run the same command again with fewer "
            "--jobs, or a new run with a smaller --batch or --size, or --precision bf16"
        ) from error


def _targets(samples: Samples, rows: NDArray[np.int64], device: torch.device) -> torch.Tensor:
    targets = torch.from_numpy(samples.targets[rows]).to(device)
    return targets.float() if targets.ndim == 2 else targets
