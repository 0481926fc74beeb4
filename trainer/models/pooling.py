"""Pooling in a ResNet's stem that keeps a quarter of what torch's keeps for the backward pass, with the same bits."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

WINDOW = ([3, 3], [2, 2], [1, 1], [1, 1], False)
"""Size, step, padding and dilation of a stem's windows, px, and whether a last one may reach over the rim."""


def spare_memory(network: nn.Module) -> nn.Module:
    """The network itself; where it has the stem of timm's ResNets, `StemPool` stands for its `act1` and `maxpool`."""
    pool, act = getattr(network, "maxpool", None), getattr(network, "act1", None)
    if isinstance(pool, nn.MaxPool2d) and isinstance(act, nn.ReLU):
        window = (pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode)
        if window == (3, 2, 1, 1, False):
            network.act1, network.maxpool = nn.Identity(), StemPool()
    return network


class StemPool(nn.Module):
    """Rectified maxima of windows of 3 x 3, every 2 px: (n, c, h, w) -> (n, c, (h + 1) // 2, (w + 1) // 2).

    torch's pooling keeps its input, of which the backward pass needs only the shape, and the places of the maxima as
    int64: 51 MB each for 32 cubes of 224 x 224 in bfloat16, together a quarter of all that a step of ResNet-18 keeps.
    Here the places alone are kept, as int32. ReLU comes last, on a quarter of the values: it is monotonous, so that
    the maximum of rectified values is the rectified maximum.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maxima: torch.Tensor = _Maxima.apply(x)
        return maxima.relu_()


class _Maxima(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        maxima, places = torch.ops.aten.max_pool2d_with_indices(x, *WINDOW)
        ctx.save_for_backward(places.int())
        ctx.shape = x.shape
        return maxima  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (places,) = ctx.saved_tensors
        last = gradient.is_contiguous(memory_format=torch.channels_last)
        order = torch.channels_last if last else torch.contiguous_format
        shape_only = torch.empty(ctx.shape, dtype=gradient.dtype, device=gradient.device, memory_format=order)
        return torch.ops.aten.max_pool2d_with_indices_backward(gradient, shape_only, *WINDOW, places.long())  # type: ignore[no-any-return]
