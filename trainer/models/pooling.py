"""Pooling in a ResNet's stem that keeps an eighth of what torch's keeps for the backward pass, with the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

WINDOW = ([3, 3], [2, 2], [1, 1], [1, 1], False)
"""Size, step, padding and dilation of a stem's windows, px, and whether a last one may reach over the rim."""
PLACES_BYTES = 3 << 20
"""Of the places that torch's pooling is asked for at once, as int64: what malloc has at hand and need not clear."""


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
    Here the places alone are kept, as int16 where they fit, and a CPU pools a few pictures at a time, so that 51 MB of
    int64, which the system would have to clear, are never there. ReLU comes last, on a quarter of the values: it is
    monotonous, so that the maximum of rectified values is the rectified maximum.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maxima: torch.Tensor = _Maxima.apply(x)
        return maxima.relu_()


class _Maxima(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        n, channels, height, width = x.shape
        order = _order(x)
        pooled = (n, channels, (height + 1) // 2, (width + 1) // 2)
        small = torch.int16 if height * width <= torch.iinfo(torch.int16).max else torch.int32
        maxima = torch.empty(pooled, dtype=x.dtype, device=x.device, memory_format=order)
        places = torch.empty(pooled, dtype=small, device=x.device, memory_format=order)
        for some in _parts(maxima):
            maxima[some], places[some] = torch.ops.aten.max_pool2d_with_indices(x[some], *WINDOW)
        ctx.save_for_backward(places)
        ctx.shape = x.shape
        return maxima

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (places,) = ctx.saved_tensors
        order = _order(gradient)
        back = torch.empty(ctx.shape, dtype=gradient.dtype, device=gradient.device, memory_format=order)
        for some in _parts(gradient):
            # Of the input it reads the shape alone.
            torch.ops.aten.max_pool2d_with_indices_backward.grad_input(
                gradient[some], back[some], *WINDOW, places[some].long(), grad_input=back[some]
            )
        return back


def _order(x: torch.Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _parts(pooled: torch.Tensor) -> Iterator[slice]:
    """All pictures at once on a GPU, whose memory is not cleared; a few at a time on a CPU."""
    n = len(pooled)
    each = max(1, n if pooled.is_cuda else PLACES_BYTES // (8 * pooled.shape[1:].numel()))
    for start in range(0, n, each):
        yield slice(start, start + each)
