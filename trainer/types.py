"""The choices that decide a training run, and the classes it tells apart."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowkit.errors import InputError
from trainer.catalogue import find

CLASSES = ("negative", "positive", "surprise")
"""The values of emotion3, in the order of every confusion matrix, probability and network output."""
UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17)
"""The action units of CD6ME (Varanka et al., 2023), in the order of every output of a run with target="au12"."""

TARGETS: Mapping[str, tuple[str, ...]] = {"emotion3": CLASSES, "au12": tuple(f"AU{unit}" for unit in UNITS)}
NORMALISATIONS = ("none", "minmax", "signed_global")
DEVICES = ("auto", "cpu", "cuda")
FUSIONS = ("concat", "attention", "mean")
PRECISIONS = ("fp32", "bf16")
SELECTIONS = ("fixed", "inner")
OPTIMISERS = ("adam", "sgd")
OF_NETWORKS = (
    *("epochs", "select", "inner_share", "batch", "optimiser", "lr", "decay", "weight_decay"),
    *("precise_batch_norm", "loss_weights", "precision", "compile"),
)
"""Choices of how a network learns."""
SLIPS: Mapping[str, str] = {
    "test-batch-norm": "held-out rows are normalised by their own batch statistics: predictions depend on batch mates",
    "best-epoch": "the epoch with the lowest loss on the held-out rows themselves counts",
    "swapped-strain-axes": "strain is made of gradients along the wrong axes",
    "substring-aus": "an action unit is shown where its digits stand anywhere in the text, as 1 in 12",
}
"""Mistakes of published code that a run may repeat on purpose, to show what they do; flowkit-train audit finds each."""

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Our choice: the paper's schedule, then batch statistics of the whole training set.
    "standard": {},
    # Khor et al., "Is Micro-expression Ethnic Leaning?", ICMEW 2025.
    "paper": {"epochs": 15, "batch": 32, "lr": 1e-3, "decay": 0.9, "precise_batch_norm": False},
    # For a first look on a laptop: small cubes, and small batches because few epochs else make few steps.
    "quick": {"epochs": 8, "batch": 8, "size": 64},
    # Varanka et al. (MEB), 2023: their settings for ResNets on CD6ME.
    "cd6me": {
        "protocol": "cd6me",
        "target": "au12",
        "epochs": 50,
        "batch": 32,
        "lr": 1e-4,
        "weight_decay": 1e-3,
        "decay": 1.0,
        "precise_batch_norm": False,
    },
    # Liong et al., FG 2019: schedule and step; they give the network values of 0 to 255, where cubes are in px.
    "ststnet": {
        "model": "ststnet",
        "epochs": 800,
        "batch": 256,
        "lr": 5e-5,
        "decay": 1.0,
        "precise_batch_norm": False,
    },
    # Xia et al., TIP 2020.
    "rcn-a": {
        "model": "rcn-a",
        "epochs": 500,
        "optimiser": "sgd",
        "lr": 1e-4,
        "weight_decay": 5e-4,
        "decay": 1.0,
        "precise_batch_norm": False,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Every choice that decides what a run predicts; all of them are written into its config.json."""

    model: str = "resnet18"
    """A name of trainer/catalogue.py, or of a timm network."""
    protocol: str = "loso"
    """How rows are divided into training and held-out ones: see trainer/protocols/."""
    datasets: tuple[str, ...] | None = None
    """The datasets whose rows are used; None for all."""
    target: str = "emotion3"
    epochs: int = 15
    """Fixed, or with select="inner" the most: nothing but training people may tell when to stop."""
    select: str = "fixed"
    """fixed: the last epoch counts. inner: the epoch with the lowest loss on some of the training people, who are not
    trained on."""
    inner_share: float = 0.2
    """The share of the training people that select="inner" sets aside."""
    batch: int = 32
    optimiser: str = "adam"
    lr: float = 1e-3
    """The step size in the first epoch."""
    decay: float = 0.9
    """The step size is multiplied by this after every epoch."""
    weight_decay: float = 0.0
    size: int | None = None
    """Side of the square that cubes are resized to, px; None keeps the shards' size, or takes the one that the model
    demands."""
    normalise: str = "none"
    pretrained: str | None = None
    """A file of weights of the motion backbone, or "hub"; None starts from random weights."""
    pretrained_rgb: str | None = None
    """The same for the backbone that reads the apex frame."""
    fusion: str = "concat"
    """How a dual model's fusion head reads the two feature vectors."""
    shared: bool = False
    """One backbone in both places of a dual model, as in the code that was released with the paper."""
    slips: tuple[str, ...] = ()
    """Mistakes to repeat on purpose (`SLIPS`): such a run is no result."""
    precise_batch_norm: bool = True
    """After the last epoch, measure the batch norm statistics over all training rows; see `trainer.batch_norm`."""
    loss_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Of L_emo, L_ethnic and L_fusion."""
    role: str = "onset-apex"
    """Which pairs of a clip are used."""
    shuffle_labels: bool = False
    """Permute the emotions over the clips first: a null control."""
    seed: int = 0
    device: str = "auto"
    precision: str = "fp32"
    """bf16: matrix products and convolutions in bfloat16 (torch's autocast); weights and loss stay in float32."""
    compile: bool = False
    """Compile the network first (torch.compile)."""
    threads: int = 1
    """CPU threads a fold. More make other last bits, which training amplifies: up to 0.1 in a probability."""

    def __post_init__(self) -> None:
        def require(ok: bool, name: str, rule: str) -> None:
            if not ok:
                raise InputError(f"{name}={getattr(self, name)!r}: must be {rule}")

        def one_of(name: str, choices: tuple[str, ...]) -> None:
            require(getattr(self, name) in choices, name, f"one of {', '.join(choices)}")

        one_of("target", tuple(TARGETS))
        one_of("normalise", NORMALISATIONS)
        one_of("device", DEVICES)
        one_of("fusion", FUSIONS)
        one_of("precision", PRECISIONS)
        one_of("select", SELECTIONS)
        one_of("optimiser", OPTIMISERS)
        require(1 <= self.epochs <= 10000, "epochs", "from 1 to 10000")
        require(2 <= self.batch <= 65536, "batch", "from 2 to 65536: batch normalisation cannot use a single sample")
        require(0 < self.lr <= 1, "lr", "above 0 and at most 1")
        require(0 < self.decay <= 1, "decay", "above 0 and at most 1")
        require(0 <= self.weight_decay <= 1, "weight_decay", "from 0 to 1")
        require(0 < self.inner_share < 1, "inner_share", "above 0 and below 1")
        require(self.size is None or 16 <= self.size <= 1024, "size", "from 16 to 1024 px")
        require(1 <= self.threads <= 1024, "threads", "from 1 to 1024")
        require(0 <= self.seed < 2**63, "seed", "0 or above and below 2^63")
        weights = self.loss_weights
        usable = len(weights) == 3 and all(math.isfinite(w) and w >= 0 for w in weights) and weights[2] > 0
        require(usable, "loss_weights", "three numbers of 0 or above, the last above 0")
        require(set(self.slips) <= set(SLIPS), "slips", f"some of {', '.join(SLIPS)}")
        self._require_fitting(require)

    def _require_fitting(self, require: Any) -> None:
        """Choices that only make sense together."""
        info = find(self.model)
        size = info.size
        require(self.size in (None, size) or size is None, "size", f"{size}, the input of {self.model}, or left out")
        require(self.fusion == "concat" or info.ethnic, "fusion", f"left out: {self.model} has no fusion")
        several = info.ethnic or self.loss_weights == (1, 1, 1)
        require(several, "loss_weights", f"left out: {self.model} has no losses of ethnicity and fusion")
        require(not self.shared or info.ethnic, "shared", f"left out: {self.model} has one backbone")
        require(
            self.pretrained is None or bool(info.pretrained), "pretrained", f"left out: {self.model} has no backbone"
        )
        require(self.pretrained_rgb is None or info.rgb, "pretrained_rgb", f"left out: {self.model} reads no picture")
        alone = self.pretrained_rgb is None or not self.shared
        require(alone, "pretrained_rgb", "left out with --shared, whose one backbone starts from --pretrained")
        require(self.protocol != "cd6me" or self.target == "au12", "target", "au12 with --protocol cd6me")
        require("substring-aus" not in self.slips or self.target == "au12", "target", "au12 with substring-aus")
        network = self.model != "svc" or not {"test-batch-norm", "best-epoch"} & set(self.slips)
        require(network, "slips", "without test-batch-norm and best-epoch: svc has neither epochs nor batches")
        fixed = self.select == "fixed" or "best-epoch" not in self.slips
        require(fixed, "select", "fixed with best-epoch, which chooses the epoch itself")

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the target's classes, or of its action units."""
        return TARGETS[self.target]

    @property
    def input_size(self) -> int | None:
        """Side of the square that cubes are resized to, px; None keeps them."""
        return self.size or find(self.model).size

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, ready for JSON."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(self).items()}


def resolve_config(preset: str = "standard", **choices: Any) -> RunConfig:
    """The configuration of a preset with explicit choices over it; a choice of None leaves what the preset has.

    A choice of how a network learns is refused of svc, which is none; what the preset has of these is not heeded there,
    and its size not for a model that has a fixed one.
    """
    if preset not in PRESETS:
        raise InputError(f"preset={preset!r} is unknown; choose one of {', '.join(PRESETS)}")
    given = {name: value for name, value in choices.items() if value is not None}
    told = {**PRESETS[preset], **given}
    if "size" not in given and find(told.get("model", "resnet18")).size:
        told.pop("size", None)
    config = RunConfig(**told)
    if config.model == "svc" and (vain := [name for name in given if name in OF_NETWORKS]):
        raise InputError(f"{vain[0]}={given[vain[0]]!r}: must be left out: svc is no network and has no training steps")
    return config
