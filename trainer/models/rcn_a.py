"""RCN-A: Xia et al., Revealing the Invisible with Model and Data Shrinking for Composite-database MER, TIP 2020."""

from __future__ import annotations

import torch
from torch import nn

from trainer.models.outputs import Outputs

CHANNELS = 64
SIDE = 5


class RCNA(nn.Module):
    """A recurrent convolution with class-activation attention on the cube (n, 3, 60, 60); 51,139 parameters.

    The recurrent convolution is one layer, used twice on x + y. Attention multiplies its pooled features by the mean
    over the classes of class-activation maps: those that the classifier's own weights give on the pooled features of
    the stem, each scaled to 0..1.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(3, 5, padding=0), nn.MaxPool2d(2), nn.Dropout(0.5))
        self.start = _convolution(CHANNELS, 1, padding=0)
        self.again = _convolution(CHANNELS, 3, padding=1)
        self.finish = nn.Sequential(nn.MaxPool2d(2), nn.Dropout(0.5))
        self.head = nn.Linear(CHANNELS * SIDE * SIDE, classes)

    def forward(self, cubes: torch.Tensor, rgb: torch.Tensor | None = None) -> Outputs:
        x = self.stem(cubes)
        attention = self._attention(averaged(x))
        y = self.start(x)
        for _ in range(2):
            y = self.again(x + y)
        features = averaged(self.finish(y))
        return Outputs(self.head((features * attention).flatten(1)))

    def _attention(self, features: torch.Tensor) -> torch.Tensor:
        """(n, 1, side, side) of pooled features (n, channels, side, side)."""
        weight = self.head.weight.view(-1, CHANNELS, SIDE, SIDE)
        maps = torch.einsum("nchw,kchw->nkhw", features, weight)
        low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
        return ((maps - low) / (high - low).clamp_min(1e-12)).mean(1, keepdim=True)


def averaged(pictures: torch.Tensor) -> torch.Tensor:
    """(n, channels, side, side) of (n, channels, h, w): nn.AdaptiveAvgPool2d(SIDE) up to rounding.

    The backward pass of that one has no deterministic implementation in CUDA; products of matrices have.
    """
    rows, columns = (_windows(size, pictures.device) for size in pictures.shape[2:])
    return rows @ pictures @ columns.T / (rows.sum(1)[:, None] * columns.sum(1))


def _windows(size: int, device: torch.device) -> torch.Tensor:
    """(side, size) ones where a place is in a window, from floor(i size / side) to ceil((i + 1) size / side)."""
    place, window = torch.arange(size, device=device), torch.arange(SIDE, device=device)[:, None]
    return ((place >= window * size // SIDE) & (place * SIDE < (window + 1) * size)).float()


def _convolution(channels: int, kernel: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, CHANNELS, kernel, padding=padding), nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=True)
    )
