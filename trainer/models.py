"""The networks: timm backbones on motion cubes, with heads for emotion, ethnicity and their fusion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from timm.models import load_state_dict
from torch import nn

from flowkit.errors import InputError
from trainer.types import CLASSES, MODELS

BACKBONE = "resnet18"
FEATURES = 512
"""Length of the backbone's feature vector."""
Weights = Mapping[str, torch.Tensor]


class Outputs(NamedTuple):
    """Logits of a batch; a head that the model lacks is None."""

    emotion: torch.Tensor
    """(n, 3)"""
    ethnicity: torch.Tensor | None = None
    """(n, number of ethnic classes)"""
    fusion: torch.Tensor | None = None
    """(n, 3)"""

    @property
    def prediction(self) -> torch.Tensor:
        """The logits that decide the predicted emotion, (n, 3): the fusion head's where there is one."""
        return self.emotion if self.fusion is None else self.fusion


class ResNet18(nn.Module):
    """One ResNet-18 on cubes (n, 3, h, w), with an emotion head."""

    def __init__(self, weights: Weights | None = None) -> None:
        super().__init__()
        self.backbone = _backbone(weights)
        self.emotion_head = nn.Linear(FEATURES, len(CLASSES))

    def forward(self, cubes: torch.Tensor) -> Outputs:
        return Outputs(self.emotion_head(self.backbone(cubes)))


class DualResNet18(nn.Module):
    """Two ResNet-18 without shared weights on the same cubes (n, 3, h, w), and a fusion of their features.

    One backbone learns the emotion, the other the ethnicity; a third head reads the concatenation of both feature
    vectors, and its emotion is the prediction (Khor et al., ICMEW 2025).
    """

    def __init__(self, ethnic_classes: int, weights: Weights | None = None) -> None:
        super().__init__()
        self.emotion_backbone = _backbone(weights)
        self.ethnicity_backbone = _backbone(weights)
        self.emotion_head = nn.Linear(FEATURES, len(CLASSES))
        self.ethnicity_head = nn.Linear(FEATURES, ethnic_classes)
        self.fusion_head = nn.Linear(2 * FEATURES, len(CLASSES))

    def forward(self, cubes: torch.Tensor) -> Outputs:
        emotion = self.emotion_backbone(cubes)
        ethnicity = self.ethnicity_backbone(cubes)
        return Outputs(
            emotion=self.emotion_head(emotion),
            ethnicity=self.ethnicity_head(ethnicity),
            fusion=self.fusion_head(torch.cat([emotion, ethnicity], dim=1)),
        )


def build_model(name: str, *, ethnic_classes: int = 0, weights: Weights | None = None) -> nn.Module:
    """A new model whose forward takes (n, 3, h, w) float32 and gives Outputs.

    Random where `weights` (of the backbone, see `pretrained_weights`) are not given; the heads always start random.
    Raises InputError for an unknown name, and for a dual model with fewer than two ethnic classes.
    """
    if name not in MODELS:
        raise InputError(f"model={name!r} is unknown; choose one of {', '.join(MODELS)}")
    if name == "resnet18":
        return ResNet18(weights)
    if ethnic_classes < 2:
        raise InputError(f"{name} learns to tell ethnic groups apart and needs at least 2, found {ethnic_classes}")
    return DualResNet18(ethnic_classes, weights)


def pretrained_weights(source: str | None) -> dict[str, torch.Tensor] | None:
    """The backbone's weights from a file, or from the hub for "hub"; None for None.

    Any ResNet-18 state dict with torchvision's or timm's names will do, as .pth or .safetensors; its classifier is left
    out. Raises InputError where the file is missing, no such state dict, or the download fails.
    """
    if source is None:
        return None
    state = _from_hub() if source == "hub" else _from_file(Path(source))
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    _load(_backbone(None), state, source)
    return state


def _backbone(weights: Weights | None) -> nn.Module:
    model: nn.Module = timm.create_model(BACKBONE, pretrained=False, num_classes=0, in_chans=3)
    if weights is not None:
        _load(model, weights, "weights")
    return model


def _load(model: nn.Module, state: Weights, source: str) -> None:
    try:
        model.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{source}: these are not the weights of a ResNet-18 ({reason[:200]})") from error


def _from_file(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise InputError(
            f"pretrained={str(path)!r}: there is no such file; download ResNet-18 weights, for example the file "
            "model.safetensors of timm/resnet18.a1_in1k on the Hugging Face hub, or use --pretrained hub"
        )
    try:
        state: dict[str, torch.Tensor] = load_state_dict(str(path), device="cpu", weights_only=True)
    except Exception as error:  # whatever a broken file makes the unpickler or safetensors raise
        raise InputError(f"{path}: cannot be read as weights ({type(error).__name__}); download it again") from error
    return state


def _from_hub() -> dict[str, torch.Tensor]:
    try:
        model: nn.Module = timm.create_model(BACKBONE, pretrained=True)
    except Exception as error:  # the network, the proxy, the cache and the hub all have their own
        raise InputError(
            f"the download of {BACKBONE} from the hub failed ({type(error).__name__}); "
            "download the weights elsewhere and give --pretrained FILE"
        ) from error
    return model.state_dict()
