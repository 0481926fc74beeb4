"""The scenes of the study: their truth is exact, their occlusions are real, their rendering is even-handed."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

pytest.importorskip("skimage", reason="scikit-image is not installed")

from benchmarks.study.faces import looks
from benchmarks.study.motions import setting
from benchmarks.study.recording import relight, through_h264
from benchmarks.study.scenes import SUPERSAMPLING, Layer, everywhere, lattice, render, slopes, spline, true_flow
from benchmarks.study.shots import EDGES, FAMILIES, HEADS, LIGHTS, Shot, shots
from benchmarks.study.stage import stage

SIZE = (96, 112)
KINDS = sorted({*FAMILIES, *EDGES, *HEADS, "bump", "sides", "still"})


def shot(kind: str, **changes: object) -> Shot:
    given = {"measure": "", "kind": kind, "seed": 9001, "amplitude_px": 1.0, "sigma_px": 6.0, "size": SIZE}
    soft = dataclasses.replace(looks("tuning")[1], defocus=0.006, grain=0.0)  # so small a frame would alias
    return Shot(look=soft, **(given | changes))


def still(points):
    return np.zeros_like(points)


def constant(step):
    return lambda points: np.broadcast_to(np.reshape(step, (2,) + (1,) * (points.ndim - 1)), points.shape)


def texture(side=160 * SUPERSAMPLING, seed=0):
    noise = np.random.default_rng(seed).uniform(0, 255, (side, side)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 6.0) * 6 - 5 * 127


@pytest.mark.parametrize("kind", KINDS)
def test_frames_agree_with_the_truth(kind):
    """x + u goes back to where x came from; frame 1 warped by the truth is frame 0, by the opposite flow it is not."""
    layers = setting(shot(kind, amplitude_px=2.0)).layers
    truth = true_flow(layers, SIZE)
    grid = lattice(*SIZE)
    target = grid + truth.flow
    errors = [np.hypot(*((grid - layer.backward[0](grid)) - (target - layer.backward[1](target)))) for layer in layers]
    assert np.min(errors, axis=0).max() < 1e-5
    if kind == "still":
        assert not truth.flow.any()
        return
    first, second = (render(layers, i, SIZE) for i in (0, 1))

    def difference(flow):
        x, y = (grid + flow).astype(np.float32)
        warped = cv2.remap(second, x, y, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT)
        moving = truth.smooth & (np.hypot(*truth.flow) > 0.5)
        return float(np.abs(warped - first)[moving].mean())

    assert difference(truth.flow) < 0.6
    assert difference(-truth.flow) > 3 * difference(truth.flow)


@pytest.mark.parametrize("kind", ["bump", "expression", "blink", "turn", "nod", "outline"])
def test_amplitude_is_the_largest_displacement(kind):
    largest = float(np.hypot(*true_flow(setting(shot(kind)).layers, SIZE).flow).max())
    assert 0.65 < largest < 1.4, "the head adds up to 0.3 px to an expression or a blink"


def test_strain_is_the_derivative_of_the_flow():
    """A shear has its known strain, a turn none to first order, and a bump that of central differences."""

    def motion(xx, xy, yx, yy):
        return lambda p: np.stack([xx * p[0] + xy * p[1], yx * p[0] + yy * p[1]])

    def strain(backward):
        return true_flow([Layer(spline(texture()), everywhere, (still, backward))], (40, 40)).strain

    forward = np.linalg.inv(np.eye(2) - [[0.01, 0.03], [0.0, -0.02]]) - np.eye(2)
    shear = (forward[0, 1] + forward[1, 0]) / 2
    expected = np.sqrt(forward[0, 0] ** 2 + forward[1, 1] ** 2 + 2 * shear**2)
    assert np.allclose(strain(motion(0.01, 0.03, 0.0, -0.02)), expected, atol=1e-6)
    assert strain(motion(0.0, -0.01, 0.01, 0.0)).max() < 2e-4
    truth = true_flow(setting(shot("bump", sigma_px=14.0)).layers, SIZE)
    (exy, exx), (eyy, eyx) = np.gradient(truth.flow[0].astype(float)), np.gradient(truth.flow[1].astype(float))
    found = np.sqrt(exx**2 + eyy**2 + (exy + eyx) ** 2 / 2)
    assert truth.strain.max() > 0.02
    assert np.abs(found - truth.strain)[2:-2, 2:-2].max() < 2e-3 * 0.5


def test_covered_pixels_are_not_visible():
    """A disc that moves 3 px to the right hides a crescent of the background, and only on its right side."""

    def disc(points):
        return 20 - np.hypot(points[0] - 50, points[1] - 50)

    back = Layer(spline(texture()), everywhere, (still, still))
    front = Layer(spline(texture(seed=1)), disc, (still, constant(np.array([3.0, 0.0]))))
    truth = true_flow([back, front], (100, 100))
    x, y = lattice(100, 100)
    inside, covered = disc(np.stack([x, y])) > 0, disc(np.stack([x - 3, y])) > 0
    assert np.array_equal(~truth.visible, covered & ~inside)
    assert np.array_equal(truth.owner == 1, inside)
    assert np.allclose(truth.flow[0], np.where(inside, 3, 0))
    assert not truth.smooth[50, 69:72].any(), "the disc's edge is at x = 70"
    assert truth.smooth[50, 50]
    assert truth.smooth[10, 10]


def test_rendering_is_even_handed():
    """A whole-pixel shift gives the same frame: what a pixel shows does not depend on the sampling grid."""
    layers = [Layer(spline(texture()), everywhere, (constant(np.array([0.3, -0.2])), constant(np.array([2.3, 0.8]))))]
    first, second = (render(layers, i, (100, 100)) for i in (0, 1))
    assert np.abs(first[10:-10, 10:-10] - second[11:-9, 12:-8]).max() < 0.01


def test_slopes_are_those_of_what_is_rendered():
    """A wave of 5 px has slopes of 2 pi / 5 times its height, of which differences of samples find sin(2 pi / 5)."""
    side = 100 * SUPERSAMPLING
    wave = 128 + 60 * np.sin(2 * np.pi / 5 * lattice(100, 100, SUPERSAMPLING)[1])
    assert wave.shape == (side, side)
    layers = [Layer(spline(wave.astype(np.float32)), everywhere, (constant(np.array([0.3, -0.2])), still))]
    frame = render(layers, 0, (100, 100))[10:-10, 10:-10]
    across, down = slopes(layers, (100, 100))[:, 10:-10, 10:-10]
    assert np.abs(across).max() < 1e-2
    assert down.std() / frame.std() == pytest.approx(2 * np.pi / 5, rel=5e-3)
    differences = np.gradient(frame, axis=0)
    assert differences[1:-1].std() / frame.std() == pytest.approx(np.sin(2 * np.pi / 5), rel=5e-3)
    assert np.corrcoef(down[1:-1].ravel(), differences[1:-1].ravel())[0, 1] > 0.99, "of the same sign"


def test_a_band_is_beside_its_edge():
    outline, lids = stage(shot("outline")), stage(shot("blink"))
    assert outline.band.any()
    assert not outline.flow[:, outline.band].any(), "the background is at rest"
    assert 0 < lids.band.sum() < 0.3 * lids.band.size
    assert np.hypot(*lids.flow)[lids.band].max() > 0.5, "what moves is in the band"
    assert np.hypot(*lids.flow)[lids.band].min() < 0.5, "and what does not"


def test_a_head_moves_under_its_bump():
    scene = stage(shot("head 2", amplitude_px=0.5))
    assert np.allclose(np.hypot(*scene.head), 2, atol=1e-5)
    local = np.hypot(*(scene.flow - scene.head))
    assert local.max() == pytest.approx(0.5, abs=0.01)
    assert scene.supports.shape[0] == 1
    assert local[scene.supports[0]].min() > 0.04


def test_sides_have_their_ratio():
    scene = stage(shot("sides", ratio=0.5, sigma_px=4.0))
    length = np.hypot(*scene.flow)
    peaks = [length[support].max() for support in scene.supports]
    assert min(peaks) / max(peaks) == pytest.approx(0.5, abs=0.02)
    assert not (scene.supports[0] & scene.supports[1]).any()


def test_light_changes_by_what_it_says():
    frame = np.tile(np.linspace(40, 200, 120, dtype=np.float32), (100, 1))
    change = {light: relight(frame, light, np.random.default_rng(3)) - frame for light in LIGHTS}
    assert np.allclose(np.abs(change["gain 2 %"]), 0.02 * frame, atol=1e-3)
    assert np.allclose(np.abs(change["offset 3"]), 3)
    assert np.allclose(np.abs(change["offset 9"]), 9)
    assert np.abs(change["gradient"]).max() == pytest.approx(3)
    assert abs(change["gradient"].mean()) < 0.1
    assert np.allclose(np.abs(change["gamma 4 %"]).max(), 0.04 * 255 / np.e, rtol=0.05)
    assert change["shadow"].min() > -0.0401 * 200
    assert change["shadow"].min() < -1
    assert change["shadow"].max() <= 0


def test_h264_keeps_the_grey_values_and_spends_what_it_is_told():
    grain = np.random.default_rng(0).normal(0, 2, (4, 96, 96))
    frames = [np.clip(texture(96) + noise, 0, 255).astype(np.uint8) for noise in grain]
    (fine, many), (_, few) = (through_h264(frames, factor) for factor in (6, 24))
    assert len(fine) == 4
    assert abs(float(fine[3].mean()) - float(frames[3].mean())) < 0.5
    assert many > 1.5 * few


def test_h264_gives_the_same_frames_each_time():
    """x264's vector code does not: what it gives depends on where the system has put its memory."""
    rng = np.random.default_rng(0)
    across, down = np.sin(np.arange(224) / 9 + np.arange(12)[:, None] / 3), np.cos(np.arange(224) / 11)
    waves = 128 + 40 * across[:, None] * down[:, None] + rng.normal(0, 1, (12, 224, 224))
    frames = list(np.clip(waves, 0, 255).astype(np.uint8))
    found, elsewhere = set(), []
    for _ in range(10):
        found.add(np.stack(through_h264(frames, 6)[0]).tobytes())
        elsewhere.append(np.zeros(rng.integers(1 << 10, 1 << 20), np.uint8))
    assert len(found) == 1


def test_sets_share_neither_faces_nor_seeds():
    tuning, report = shots("tuning"), shots("report")
    people = [{s.look.source for s in some} | {f"{s.look.identity}" for s in some} for some in (tuning, report)]
    assert people[0] & people[1] == {"drawn"}
    assert not {s.seed for s in tuning} & {s.seed for s in report}
    assert [(s.measure, s.kind, s.amplitude_px) for s in tuning[:100]] == [
        (s.measure, s.kind, s.amplitude_px) for s in report[:100]
    ]


def test_same_shot_gives_the_same_pair():
    first, second = stage(shot("lips")), stage(shot("lips"))
    assert np.array_equal(first.frame0, second.frame0)
    assert np.array_equal(first.frame1, second.frame1)
    take = stage(dataclasses.replace(shot("lips"), take=1))
    assert 0 < np.abs(first.frame0.astype(float) - take.frame0).mean() < 3, "only the noise is another"
