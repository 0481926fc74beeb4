"""The choices that decide a training run, and the classes it tells apart."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowkit.errors import InputError

CLASSES = ("negative", "positive", "surprise")
"""The values of emotion3, in the order of every confusion matrix, probability and network output."""

MODELS = ("resnet18", "dual-resnet18")
NORMALISATIONS = ("none", "minmax", "signed_global")
DEVICES = ("auto", "cpu", "cuda")

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Our choice: the paper's schedule, then batch statistics of the whole training set.
    "standard": {},
    # Khor et al., "Is Micro-expression Ethnic Leaning?", ICMEW 2025.
    "paper": {"epochs": 15, "batch": 32, "lr": 1e-3, "decay": 0.9, "precise_batch_norm": False},
    # For a first look on a laptop: small cubes, and small batches because few epochs else make few steps.
    "quick": {"epochs": 8, "batch": 8, "size": 64},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Every choice of a run; all of them are written into its metrics.json."""

    model: str = "resnet18"
    epochs: int = 15
    """Fixed: there is no early stopping, because nothing but the held-out subject could tell when to stop."""
    batch: int = 32
    lr: float = 1e-3
    """Adam's step size in the first epoch."""
    decay: float = 0.9
    """The step size is multiplied by this after every epoch."""
    size: int | None = None
    """Side of the square that cubes are resized to, px; None keeps the shards' size."""
    normalise: str = "none"
    pretrained: str | None = None
    """A file of ResNet-18 weights, or "hub"; None starts from random weights."""
    precise_batch_norm: bool = True
    """After the last epoch, measure the batch norm statistics over all training rows; see `settle_batch_norm`."""
    loss_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Of L_emo, L_ethnic and L_fusion."""
    role: str = "onset-apex"
    """Which pairs of a clip are used."""
    shuffle_labels: bool = False
    """Permute the emotions over the clips first: a null control."""
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    """CPU threads of torch; None leaves its own choice."""

    def __post_init__(self) -> None:
        def require(ok: bool, name: str, rule: str) -> None:
            if not ok:
                raise InputError(f"{name}={getattr(self, name)!r}: must be {rule}")

        require(self.model in MODELS, "model", f"one of {', '.join(MODELS)}")
        require(self.normalise in NORMALISATIONS, "normalise", f"one of {', '.join(NORMALISATIONS)}")
        require(self.device in DEVICES, "device", f"one of {', '.join(DEVICES)}")
        require(1 <= self.epochs <= 10000, "epochs", "from 1 to 10000")
        require(2 <= self.batch <= 65536, "batch", "from 2 to 65536: batch normalisation cannot use a single sample")
        require(0 < self.lr <= 1, "lr", "above 0 and at most 1")
        require(0 < self.decay <= 1, "decay", "above 0 and at most 1")
        require(self.size is None or 16 <= self.size <= 1024, "size", "from 16 to 1024 px")
        require(self.threads is None or 1 <= self.threads <= 1024, "threads", "from 1 to 1024")
        require(0 <= self.seed < 2**63, "seed", "0 or above and below 2^63")
        weights = self.loss_weights
        usable = len(weights) == 3 and all(math.isfinite(w) and w >= 0 for w in weights) and weights[2] > 0
        require(usable, "loss_weights", "three numbers of 0 or above, the last above 0")

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, ready for JSON."""
        return dataclasses.asdict(self)


def resolve_config(preset: str = "standard", **choices: Any) -> RunConfig:
    """The configuration of a preset with explicit choices over it; a choice of None leaves what the preset has."""
    if preset not in PRESETS:
        raise InputError(f"preset={preset!r} is unknown; choose one of {', '.join(PRESETS)}")
    given = {name: value for name, value in choices.items() if value is not None}
    return RunConfig(**{**PRESETS[preset], **given})
