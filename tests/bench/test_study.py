"""The scenes of the study: their truth is exact, their occlusions are real, their rendering is even-handed."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

pytest.importorskip("skimage", reason="scikit-image is not installed")

from benchmarks.study.goals import GOALS
from benchmarks.study.measures import Errors, Score, errors_of
from benchmarks.study.motions import AMPLITUDES_PX, KINDS, LARGE_PX, REPORT_KINDS, example, layers_of, shots
from benchmarks.study.peers import PEERS
from benchmarks.study.scenes import SUPERSAMPLING, Layer, Shot, everywhere, lattice, render, spline, true_flow
from benchmarks.study.search import mutate, search

SIZE = (96, 112)


def shot(kind: str, amplitude_px: float = 2.0, seed: int = 9001) -> Shot:
    return Shot("drawn 9.1", kind, amplitude_px, SIZE, noise=1.0, quality=None, seed=seed)


def still(points):
    return np.zeros_like(points)


def constant(step):
    return lambda points: np.broadcast_to(np.reshape(step, (2,) + (1,) * (points.ndim - 1)), points.shape)


def texture(side=160 * SUPERSAMPLING, seed=0):
    noise = np.random.default_rng(seed).uniform(0, 255, (side, side)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 6.0) * 6 - 5 * 127


@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_truth_solves_the_equation_of_motion(kind):
    """x + u goes back to where x came from, on the layer that shows at x."""
    layers = layers_of(shot(kind), np.random.default_rng(4))
    truth = true_flow(layers, SIZE)
    grid = lattice(*SIZE)
    target = grid + truth.flow
    errors = [np.hypot(*((grid - layer.backward[0](grid)) - (target - layer.backward[1](target)))) for layer in layers]
    assert np.min(errors, axis=0).max() < 1e-5


@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_amplitude_is_the_largest_displacement(kind):
    truth = example(shot(kind)).truth
    largest = float(np.hypot(*truth.flow).max())
    assert 1.3 < largest < 2.4, "the head adds up to 0.3 px; a head's shift and turn may not add up"


@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_frames_agree_with_the_truth(kind):
    """Frame 1 warped by the truth is frame 0 where both show the same; by the opposite flow it is not."""
    layers = layers_of(shot(kind), np.random.default_rng(4))
    first, second = (render(layers, i, SIZE) for i in (0, 1))
    truth = true_flow(layers, SIZE)

    def difference(flow):
        x, y = (lattice(*SIZE) + flow).astype(np.float32)
        warped = cv2.remap(second, x, y, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT)
        moving = truth.smooth & (np.hypot(*truth.flow) > 0.5)
        return float(np.abs(warped - first)[moving].mean())

    assert difference(truth.flow) < 0.6
    assert difference(-truth.flow) > 3 * difference(truth.flow)


def test_covered_pixels_are_not_visible():
    """A disc that moves 3 px to the right hides a crescent of the background, and only on its right side."""
    step = np.array([3.0, 0.0])

    def disc(points):
        return 20 - np.hypot(points[0] - 50, points[1] - 50)

    back = Layer(spline(texture()), everywhere, (still, still))
    front = Layer(spline(texture(seed=1)), disc, (still, constant(step)))
    truth = true_flow([back, front], (100, 100))
    x, y = lattice(100, 100)
    inside, covered = disc(np.stack([x, y])) > 0, disc(np.stack([x - 3, y])) > 0
    assert np.array_equal(~truth.visible, covered & ~inside)
    assert np.allclose(truth.flow[0], np.where(inside, 3, 0))
    assert not truth.smooth[50, 69:72].any(), "the disc's edge is at x = 70"
    assert truth.smooth[50, 50]
    assert truth.smooth[10, 10]


def test_rendering_is_even_handed():
    """A whole-pixel shift gives the same frame: what a pixel shows does not depend on the sampling grid."""
    layers = [Layer(spline(texture()), everywhere, (constant(np.array([0.3, -0.2])), constant(np.array([2.3, 0.8]))))]
    first, second = (render(layers, i, (100, 100)) for i in (0, 1))
    assert np.abs(first[10:-10, 10:-10] - second[11:-9, 12:-8]).max() < 0.01


def test_occlusion_is_left_out_of_the_errors():
    pair = example(shot("blink"))
    assert not pair.truth.visible.all()
    wrong = pair.truth.flow.copy()
    wrong[:, ~pair.truth.visible] += 100
    assert errors_of(wrong, pair).endpoint_px == 0
    assert errors_of(pair.truth.flow + np.float32(0.5), pair).endpoint_px == pytest.approx(np.hypot(0.5, 0.5), rel=1e-5)


def test_sets_share_neither_faces_nor_seeds():
    tune, report = (list(shots(which, 8)) + list(shots(which, 3, LARGE_PX)) for which in ("tune", "report"))
    assert not {s.face for s in tune} & {s.face for s in report}
    assert not {s.seed for s in tune} & {s.seed for s in report}
    for part, kinds in ((tune, KINDS), (report, REPORT_KINDS)):
        assert {s.kind for s in part} == set(kinds)
        assert len({s.seed for s in part}) == len(part)
        assert {s.amplitude_px for s in part} == {*AMPLITUDES_PX, *LARGE_PX}


def test_same_shot_gives_the_same_pair():
    first, second = example(shot("lips")), example(shot("lips"))
    assert np.array_equal(first.frame0, second.frame0)
    assert np.array_equal(first.frame1, second.frame1)
    other = example(dataclasses.replace(shot("lips"), seed=9002))
    assert not np.array_equal(first.frame0, other.frame0)


def test_score_is_relative():
    better = Score({0.5: Errors(0.01, 0.002), 1.0: Errors(0.02, 0.004)}, 1.0)
    worse = Score({0.5: Errors(0.02, 0.004), 1.0: Errors(0.04, 0.008)}, 1.0)
    assert better.relative_to(worse) == pytest.approx(np.log(0.5))
    assert better.excess(worse, {0.5: 0.6, 1.0: 0.25}) == pytest.approx(np.log(2))


def test_mutations_are_valid_and_reach_every_field():
    rng = np.random.default_rng(0)
    params = GOALS["micro"].start
    changed = set()
    for _ in range(400):
        other = mutate(params, rng)
        fields = {name for name, value in other.to_dict().items() if value != getattr(params, name)}
        assert len(fields) <= 3
        changed |= fields
        params = other
    assert {"lambda_", "theta", "warps", "scale", "border"} <= changed
    assert params.epsilon == 0, "the presets spend a fixed budget"


def test_search_only_keeps_what_is_better():
    pairs = [example(shot(kind, 0.5, seed)) for seed, kind in enumerate(("expression", "shift"))]
    start = GOALS["micro"].start.replace(theta=1.0, smoothing=0.0)
    goal = dataclasses.replace(GOALS["micro"], start=start, limits={}, most_time=1e9)
    best, path = search(goal, PEERS[goal.peer], pairs, trials=12, say=lambda line: None)
    values = [step["value"] for step in path]
    assert values == sorted(values, reverse=True)
    assert len(values) > 1
    assert best != start
