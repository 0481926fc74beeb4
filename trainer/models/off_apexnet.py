"""OFF-ApexNet: Gan et al., OFF-ApexNet on micro-expression recognition system, Signal Processing: Image Comm. 2019."""

from __future__ import annotations

import torch
from torch import nn

from trainer.models.outputs import Outputs


class OffApexNet(nn.Module):
    """Two streams, on u and on v of the cube (n, 3, 28, 28), which does not use the strain; 2,664,475 parameters."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.streams = nn.ModuleList(_stream() for _ in range(2))
        self.head = nn.Sequential(
            nn.Linear(2 * 16 * 7 * 7, 1024),
            nn.ReLU(inplace=True),
            nn.Linear(1024, 1024),
            nn.ReLU(inplace=True),
            nn.Linear(1024, classes),
        )

    def forward(self, cubes: torch.Tensor, rgb: torch.Tensor | None = None) -> Outputs:
        planes = (cubes[:, 0:1], cubes[:, 1:2])
        features = [stream(plane).flatten(1) for stream, plane in zip(self.streams, planes, strict=True)]
        return Outputs(self.head(torch.cat(features, dim=1)))


def _stream() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    )
