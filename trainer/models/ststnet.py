"""STSTNet: Liong et al., Shallow Triple Stream Three-dimensional CNN for Micro-expression Recognition, FG 2019."""

from __future__ import annotations

import torch
from torch import nn

from trainer.models.outputs import Outputs

STREAMS = (3, 5, 8)


class STSTNet(nn.Module):
    """Three shallow streams on all channels of the cube (n, 3, 28, 28); 1,683 parameters for three classes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.streams = nn.ModuleList(_stream(channels) for channels in STREAMS)
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Linear(sum(STREAMS) * 5 * 5, classes)

    def forward(self, cubes: torch.Tensor, rgb: torch.Tensor | None = None) -> Outputs:
        features = torch.cat([stream(cubes) for stream in self.streams], dim=1)
        return Outputs(self.head(self.pool(features).flatten(1)))


def _stream(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=2),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(channels),
        nn.MaxPool2d(3, stride=3, padding=1),
        nn.Dropout(0.5),
    )
