"""SSSNet: Varanka et al., Data Leakage and Evaluation Issues in Micro-Expression Analysis, 2023."""

from __future__ import annotations

import torch
from torch import nn

from trainer.models.outputs import Outputs


class SSSNet(nn.Module):
    """One shallow stream on the cube (n, 3, 64, 64); 1,349,251 parameters for three classes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3),
            nn.BatchNorm2d(32),
            nn.Dropout2d(0.5),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(64),
            nn.Dropout2d(0.5),
        )
        self.head = nn.Sequential(
            nn.Linear(64 * 9 * 9, 256), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(256, classes)
        )

    def forward(self, cubes: torch.Tensor, rgb: torch.Tensor | None = None) -> Outputs:
        return Outputs(self.head(self.features(cubes).flatten(1)))
