"""The stem's pooling against torch's own: the same bits, in less memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.inputs import autocast
from trainer.models.pooling import PLACES_BYTES, StemPool, spare_memory

PRECISIONS = ["fp32", "bf16"]


def timm_resnet() -> nn.Module:
    timm = pytest.importorskip("timm")
    torch.manual_seed(1)
    return timm.create_model("resnet18", pretrained=False, num_classes=0)


def step(network: nn.Module, cubes: torch.Tensor, precision: str) -> tuple[torch.Tensor, list[torch.Tensor], int]:
    """Features, the gradient of each parameter, and the bytes kept for the backward pass."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), autocast(cubes.device, precision):
        features = network(cubes)
    (features.float() ** 2).sum().backward()
    return features, [value.grad for value in network.parameters()], sum(kept.values())


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_a_resnet_has_the_same_bits_and_keeps_a_tenth_less(order, precision):
    side = 75
    plain, spared = timm_resnet().to(memory_format=order), spare_memory(timm_resnet()).to(memory_format=order)
    assert isinstance(spared.maxpool, StemPool)
    assert list(plain.state_dict()) == list(spared.state_dict())
    cubes = torch.randn(4, 3, side, side)
    features, gradients, bytes_kept = step(plain, cubes, precision)
    again, same, fewer = step(spared, cubes, precision)
    assert torch.equal(features, again)
    assert all(torch.equal(one, other) for one, other in zip(gradients, same, strict=True))
    pooled_input = 4 * 64 * ((side + 1) // 2) ** 2
    assert bytes_kept - fewer > pooled_input * (2 if precision == "bf16" else 4)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(13, 10), (190, 187)], ids=["places in 16 bits", "places in 32 bits"])
@pytest.mark.parametrize("at_once", [PLACES_BYTES, 1], ids=["together", "one by one"])
def test_places_of_equal_maxima_are_torchs(precision, order, size, at_once, monkeypatch):
    """Few values, so that most windows have several largest ones, and some are all below zero."""
    monkeypatch.setattr("trainer.models.pooling.PLACES_BYTES", at_once)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    values = torch.randint(-3, 2, (3, 5, *size), generator=torch.Generator().manual_seed(2)).to(dtype)
    pooled = [(side + 1) // 2 for side in size]
    gradient = torch.randn(3, 5, *pooled, generator=torch.Generator().manual_seed(3)).to(dtype)
    values, gradient = values.to(memory_format=order), gradient.to(memory_format=order)
    results = []
    for pool in (nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 2, 1)), StemPool()):
        x = values.clone().requires_grad_()
        y = pool(x)
        y.backward(gradient)
        results.append((y.detach(), x.grad))
    (maxima, back), (same, back_again) = results
    assert torch.equal(maxima, same)
    assert torch.equal(back, back_again)


def test_no_pictures_are_no_maxima():
    assert StemPool()(torch.empty(0, 4, 9, 8)).shape == (0, 4, 5, 4)


def test_what_has_no_such_stem_stays_as_it_is():
    network = nn.Module()
    network.act1, network.maxpool = nn.ReLU(), nn.MaxPool2d(2)
    spare_memory(network)
    assert isinstance(network.act1, nn.ReLU)
    assert isinstance(network.maxpool, nn.MaxPool2d)
    assert isinstance(spare_memory(nn.Linear(2, 2)), nn.Linear)
