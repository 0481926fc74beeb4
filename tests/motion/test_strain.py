"""Strain: exact on affine flows, equal to the float64 reference and the published variants, strict about its input."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import flowkit
from flowkit import _core
from flowkit.errors import InputError
from tests import fields
from tests.reference import strain as reference

SIZES = [(3, 3), (3, 17), (5, 7), (16, 16), (33, 31), (40, 65)]
VARIANTS = ["standard", "meb", "softnet"]


def random_flow(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (2 * rng.standard_normal(shape)).astype(np.float32)


# ---- physics: dyadic coefficients make the expected values exact in float32


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_stretch_has_exactly_its_strain_up_to_the_border(simd, size):
    exx, eyy, exy = flowkit.strain_tensor(fields.stretch(*size, 0.25, -0.125).astype(np.float32))
    assert (exx == 0.25).all()
    assert (eyy == -0.125).all()
    assert (exy == 0).all()


def test_a_shear_is_half_its_slope(simd):
    exx, eyy, exy = flowkit.strain_tensor(fields.shear(9, 21, 0.5).astype(np.float32))
    assert not exx.any()
    assert not eyy.any()
    assert (exy == 0.25).all()
    magnitude = flowkit.strain_magnitude(fields.shear(9, 21, 0.5).astype(np.float32))
    assert magnitude == pytest.approx(np.full((9, 21), 0.25 * np.sqrt(2)))


def test_a_translation_and_an_infinitesimal_rotation_have_none(simd):
    assert not flowkit.strain_tensor(fields.translation(12, 19, 1.3, -0.7).astype(np.float32)).any()
    assert not flowkit.strain_magnitude(fields.translation(12, 19, 1.3, -0.7).astype(np.float32)).any()
    spin = fields.spin(12, 19, 2**-6).astype(np.float32)
    assert not flowkit.strain_tensor(spin).any()
    assert not flowkit.strain_magnitude(spin).any()


def test_a_finite_rotation_has_a_strain_of_second_order(simd):
    exx, eyy, exy = flowkit.strain_tensor(fields.rotation(16, 16, 0.1).astype(np.float32))
    assert exx == pytest.approx(np.full((16, 16), np.cos(0.1) - 1), abs=1e-6)
    assert eyy == pytest.approx(exx, abs=1e-6)
    assert np.abs(exy).max() < 1e-6


def test_the_magnitude_is_the_frobenius_norm_of_the_tensor(simd, rng):
    flow = random_flow(rng, 3, 2, 20, 23)
    exx, eyy, exy = np.moveaxis(flowkit.strain_tensor(flow), 1, 0)
    assert flowkit.strain_magnitude(flow) == pytest.approx(np.sqrt(exx**2 + eyy**2 + 2 * exy**2), rel=1e-5)


# ---- against the reference


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_tensor_is_the_references(simd, rng, size):
    flow = random_flow(rng, 2, *size)
    tensor = flowkit.strain_tensor(flow)
    assert tensor.shape == (3, *size)
    assert tensor.dtype == np.float32
    assert np.abs(tensor - reference.strain_tensor(flow)).max() < 1e-6


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_is_the_references(simd, rng, variant, size):
    flow = random_flow(rng, 2, *size)
    magnitude = flowkit.strain_magnitude(flow, variant=variant)
    assert magnitude.shape == size
    assert magnitude.dtype == np.float32
    assert magnitude == pytest.approx(reference.strain_magnitude(flow, variant), rel=1e-5, abs=1e-5)


def test_the_variants_differ_as_their_page_says():
    moved = fields.translation(10, 10, 1.0, 0.0).astype(np.float32)
    meb = flowkit.strain_magnitude(moved, variant="meb")
    assert not meb[1:-1, 1:-1].any()
    assert meb[0].all(), "zeros outside the image are an edge"
    turned = fields.spin(10, 10, 2**-6).astype(np.float32)
    assert flowkit.strain_magnitude(turned, variant="meb")[5, 5] == pytest.approx(8 * 2**-6 * np.sqrt(2))
    assert not flowkit.strain_magnitude(turned, variant="softnet").any()
    stretched = fields.stretch(10, 10, 0.25).astype(np.float32)
    as_shear = 8 * 0.25 / np.sqrt(2)
    assert flowkit.strain_magnitude(stretched, variant="meb")[5, 5] == pytest.approx(as_shear)


# ---- shapes, strides, batches


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_flow_has_the_same_bits_in_a_batch(simd, rng, variant):
    flows = random_flow(rng, 5, 2, 18, 21)
    tensors, magnitudes = flowkit.strain_tensor(flows), flowkit.strain_magnitude(flows, variant=variant)
    assert tensors.shape == (5, 3, 18, 21)
    assert magnitudes.shape == (5, 18, 21)
    for i in range(5):
        assert np.array_equal(flowkit.strain_tensor(flows[i]), tensors[i])
        assert np.array_equal(flowkit.strain_magnitude(flows[i], variant=variant), magnitudes[i])


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[..., ::-1, ::-1],
        lambda a: np.asfortranarray(a),
        lambda a: np.ascontiguousarray(a.swapaxes(2, 3)).swapaxes(2, 3),
        lambda a: np.pad(a, ((0, 0), (0, 0), (1, 2), (3, 4)))[:, :, 1:-2, 3:-4],
        lambda a: np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1),
        lambda a: a[::2, ::-1],
    ],
    ids=["flipped", "fortran", "transposed", "padded", "u and v interleaved", "v first"],
)
def test_any_strides_give_the_same_bits(rng, view):
    flow = view(random_flow(rng, 4, 2, 11, 13))
    plain = flow.copy("C")
    assert np.array_equal(flowkit.strain_tensor(flow), flowkit.strain_tensor(plain))
    for variant in VARIANTS:
        expected = flowkit.strain_magnitude(plain, variant=variant)
        assert np.array_equal(flowkit.strain_magnitude(flow, variant=variant), expected)


def test_read_only_input_is_accepted_and_never_changed(rng):
    flow = random_flow(rng, 2, 11, 13)
    before = flow.copy()
    flow.flags.writeable = False
    flowkit.strain_tensor(flow)
    flowkit.strain_magnitude(flow)
    assert np.array_equal(flow, before)


# ---- what it refuses

FLOW = np.zeros((2, 8, 9), np.float32)


def poisoned(value: float) -> np.ndarray:
    flow = FLOW.copy()
    flow[1, 2, 3] = value
    return flow


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        (FLOW.astype(np.float64), "flow.*float64"),
        (FLOW.astype(np.int32), "flow.*int32"),
        (FLOW.astype(np.float16), "flow.*float16"),
        (poisoned(np.nan), "flow.*(NaN|nan|finite)"),
        (poisoned(-np.inf), "flow.*(inf|finite)"),
        (poisoned(-3e38), r"flow reaches 3e\+38 px: displacements are at most 1e\+15 px"),
        (FLOW[:, :2], "flow.*2.*3"),
        (FLOW[:, :, :2], "flow.*2.*3"),
        (FLOW[:1], "flow"),
        (FLOW[0], "flow"),
        (np.zeros((8, 9, 2), np.float32), "flow"),
        (np.zeros((4, 3, 8, 9), np.float32), "flow"),
        (np.zeros((0, 2, 8, 9), np.float32), "flow"),
        (np.broadcast_to(np.float32(0), (2, 3, 2**24 + 1)), r"\(2, 3, 16777217\): flows have at most 16777216 px"),
        (None, "flow"),
    ],
)
def test_bad_flow_is_refused_by_name(flow, message):
    with pytest.raises(InputError, match=message):
        flowkit.strain_tensor(flow)
    for variant in VARIANTS:
        with pytest.raises(InputError, match=message):
            flowkit.strain_magnitude(flow, variant=variant)


def test_an_unknown_variant_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"variant='sobel'.*standard.*meb.*softnet"):
        flowkit.strain_magnitude(FLOW, variant="sobel")
    with pytest.raises(InputError, match=r"variant=array.*standard.*meb.*softnet"):
        flowkit.strain_magnitude(FLOW, variant=np.array(["meb", "meb"]))


@pytest.mark.parametrize("compute", [flowkit.strain_tensor, flowkit.strain_magnitude])
def test_bad_options_are_refused_by_name(compute):
    with pytest.raises(InputError, match="threads=0"):
        compute(FLOW, threads=0)
    with pytest.raises(InputError, match="device='tpu'"):
        compute(FLOW, device="tpu")


@pytest.mark.skipif(bool(_core.cuda_devices()[0]), reason="there is a GPU here")
@pytest.mark.parametrize("compute", [flowkit.strain_tensor, flowkit.strain_magnitude])
def test_cuda_without_a_gpu_is_refused(compute):
    with pytest.raises(InputError, match="device='cuda:1': no usable GPU"):
        compute(FLOW, device="cuda:1")
    there = SimpleNamespace(__cuda_array_interface__={}, __module__="torch")
    with pytest.raises(InputError, match="flow is on a GPU: no usable GPU"):
        compute(there)
    with pytest.raises(InputError, match="device='cpu', but flow is on a GPU"):
        compute(there, device="cpu")
