"""The statistics of batch norm: measured anew after training, and the mistake of taking them from held-out rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from flowkit.errors import InputError
from trainer.inputs import Inputs, autocast


def settle_batch_norm(model: nn.Module, inputs: Inputs, parts: list[torch.Tensor], precision: str = "fp32") -> None:
    """Replace the running statistics of batch norm by their means over the given batches of training rows.

    Running averages follow the weights with a delay of some 10 steps. A fold of a small dataset makes few steps, so the
    averages describe a network that is gone, and predictions collapse (Wu and Johnson, Rethinking "Batch" in BatchNorm,
    2021, section 3, who call this PreciseBN).
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over batches
    with torch.no_grad(), autocast(inputs.device, precision):
        for numbers in parts if layers else ():
            model(*inputs.batch(numbers))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Within the block batch norm uses the batch's own statistics, as in code that forgets model.eval().

    A slip to be shown, not a way to predict. The running statistics stay as they are. Raises InputError for a batch of
    one value a channel, which has no spread.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.train()
        layer.momentum = 0.0
    try:
        yield
    except ValueError as error:
        raise InputError(f"slips=test-batch-norm: {error}; give cubes of a larger --size") from error
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.eval()
            layer.momentum = momentum
