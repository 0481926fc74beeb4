"""Strain of flows that come from the CPU and go back: what the CPU computes, from the same per-pixel arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

import flowkit
from tests import fields


@pytest.mark.parametrize("size", [(3, 3), (3, 1025), (33, 31), (224, 224), (1080, 1920)], ids=str)
@pytest.mark.parametrize("n", [1, 5])
def test_it_is_the_references(rng, n, size):
    reference = pytest.importorskip("tests.reference.strain")  # with pandas and SciPy
    flow = (2 * rng.standard_normal((n, 2, *size))).astype(np.float32)
    tensor = flowkit.strain_tensor(flow, device="cuda")
    assert tensor.shape == (n, 3, *size)
    assert np.abs(tensor - np.stack([reference.strain_tensor(f) for f in flow])).max() < 1e-6


def test_it_has_the_bits_of_the_cpu(rng):
    flow = (2 * rng.standard_normal((7, 2, 65, 67))).astype(np.float32)
    for compute in (flowkit.strain_tensor, flowkit.strain_magnitude):
        assert np.array_equal(compute(flow, device="cuda"), compute(flow, device="cpu"))


def test_more_flows_than_one_grid_dimension_holds():
    flow = np.broadcast_to(fields.stretch(3, 4, 0.25, -0.125).astype(np.float32), (70_000, 2, 3, 4)).copy()
    exx, eyy, exy = np.moveaxis(flowkit.strain_tensor(flow, device="cuda"), 1, 0)
    assert (exx == 0.25).all()
    assert (eyy == -0.125).all()
    assert (exy == 0).all()


def test_a_translation_has_none():
    flow = fields.translation(40, 50, 1.5, -0.3).astype(np.float32)[None]
    assert not flowkit.strain_tensor(flow, device="cuda").any()
