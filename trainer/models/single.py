"""One backbone on the motion cube, with an emotion head: ResNet-18, or any network of timm."""

from __future__ import annotations

import torch
from torch import nn

from trainer.models.outputs import Outputs
from trainer.models.weights import Weights, backbone, feature_count


class SingleBackbone(nn.Module):
    """A backbone on cubes (n, 3, h, w), and a linear head on its features."""

    def __init__(self, architecture: str, classes: int, weights: Weights | None = None) -> None:
        super().__init__()
        self.backbone = backbone(architecture, weights)
        self.emotion_head = nn.Linear(feature_count(self.backbone), classes)

    def forward(self, cubes: torch.Tensor, rgb: torch.Tensor | None = None) -> Outputs:
        return Outputs(self.emotion_head(self.backbone(cubes)))
