"""What preset micro promises, on motion and light whose truth is known: docs/study-micro.md measures how well."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import flowkit
from flowkit.params import PRESETS
from tests import fields

LIGHTS = {
    "gain": lambda frame: 1.02 * frame,
    "offset": lambda frame: frame + 9,
    "gradient": lambda frame: frame + np.linspace(-3, 3, frame.shape[1]),
    "gamma": lambda frame: 255 * (frame / 255) ** 1.04,
}


@functools.cache
def still_face() -> np.ndarray:
    return fields.facial_pair(160, 1.0)[0].astype(float)


def as_recorded(frame: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, frame.shape)
    return np.clip(np.rint(frame + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("light", LIGHTS)
def test_a_change_of_light_is_no_motion(light):
    face = still_face()
    frames = as_recorded(face, 1), as_recorded(LIGHTS[light](face), 2)
    flow = {preset: flowkit.tvl1_flow(*frames, preset=preset) for preset in ("micro", "micro-0.1")}
    false = {preset: np.hypot(*found).mean() for preset, found in flow.items()}
    assert false["micro"] < 0.03
    assert false["micro-0.1"] > 3 * false["micro"], "the light changes enough to matter"


def beside_a_moving_disc(step_px: float) -> tuple[list[np.ndarray], np.ndarray]:
    """Frames in which a bright disc moves before a background at rest, and where the background is near it."""
    x, y = fields.grid(112, 112)
    distance = np.hypot(x - 56, y - 56)
    frames = []
    for seed, at in enumerate((0.0, step_px)):
        cover = np.clip(30.5 - np.hypot(x - 56 - at, y - 56), 0, 1)
        disc = 60 + fields.texture(x - at, y, seed=1)
        frames.append(as_recorded(0.6 * (fields.texture(x, y, seed=2) * (1 - cover) + disc * cover), seed))
    return frames, (distance > 33) & (distance < 44)


def test_an_outline_does_not_take_the_background_along():
    """Images without their mean have a rim beside a bright disc, which goes with it; residuals have none."""
    frames, band = beside_a_moving_disc(1.0)
    params = PRESETS["micro"]
    residuals, images = (
        np.hypot(*flowkit.tvl1_flow(*frames, params=params.replace(high_pass_residual=how)))[band].mean()
        for how in (True, False)
    )
    assert residuals < 0.8 * images
    assert residuals < 0.2


def parting_lips(opening_px: float) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Frames in which a lower lip moves down and shows the dark behind, the true flow, and where both lips are."""
    x, y = fields.grid(112, 112)

    def down(at: np.ndarray) -> np.ndarray:
        near = np.clip(1 - ((x - 56) / 20) ** 2 - ((at - 56) / 24) ** 2, 0, None) ** 2
        return opening_px * near * (y > 55.5)

    before = y.copy()  # the rows that the second frame's pixels come from
    for _ in range(60):
        before = y - down(before)
    closed, opened = (60 + 0.4 * fields.texture(x, at, seed=3, shortest=10) for at in (y, before))
    opened[(y > 55.5) & (before <= 55.5)] = 15
    frames = [as_recorded(frame, seed) for seed, frame in enumerate((closed, opened))]
    return frames, np.stack([0 * x, down(y)]), (np.abs(y - 55.5) < 8) & (np.abs(x - 56) < 18)


@pytest.mark.parametrize("opening_px", [1.0, 2.0, 3.0])
def test_where_lips_part_nothing_is_put_back(opening_px):
    """No motion explains what comes to light, and what is significant there would take the other lip along."""
    frames, truth, lips = parting_lips(opening_px)

    def error(**changes: float) -> float:
        flow = flowkit.tvl1_flow(*frames, params=PRESETS["micro"].replace(**changes))
        return np.hypot(*(flow - truth))[lips].mean()

    trusted = error(refit_noise_limit=1e6)
    assert error() < 0.85 * trusted
    assert error() < 1.01 * error(refit_steps=0)


def test_light_is_no_motion_where_a_frame_moves_out():
    """A residual's mean is over what is seen in both frames, or a lamp would count as motion along the border."""
    frames = [10 + 0.8 * frame for frame in fields.textured_pair(fields.translation(96, 96, 2.5, -1.5))]
    flow, lit = (
        flowkit.tvl1_flow(as_recorded(frames[0], 1), as_recorded(frames[1] + light, 2), preset="micro")
        for light in (0, 12)
    )
    assert np.abs(lit - flow).max() < 0.05


@pytest.mark.parametrize(("amplitude_px", "least"), [(0.2, 0.75), (0.5, 0.8), (2.0, 0.9)])
def test_a_local_motion_keeps_its_size(amplitude_px, least):
    """Its gain, recovered over true amplitude; total variation alone leaves less of it, the smaller it is."""
    truth = fields.bump(96, 96, 0.6 * amplitude_px, 0.8 * amplitude_px, 8)
    frames = [as_recorded(frame, seed) for seed, frame in enumerate(fields.textured_pair(truth))]
    support = np.hypot(*truth) > 0.3 * amplitude_px
    flow = flowkit.tvl1_flow(*frames, preset="micro")
    assert np.sum((flow * truth)[:, support]) / np.sum(truth[:, support] ** 2) > least
    assert np.hypot(*flow)[np.hypot(*truth) < 1e-3].mean() < 0.03


def test_a_faint_motion_has_credit_for_what_is_there():
    """Of 0.2 px on a skin of little contrast so little is left that alone it would not be significant."""
    truth = fields.bump(96, 96, 0.12, 0.16, 8)
    support = np.hypot(*truth) > 0.06

    def gain(credit: float) -> float:
        flows = []
        for seed in range(4):
            pair = fields.textured_pair(truth, seed)
            frames = [as_recorded(128 + 0.15 * (frame - 128), 2 * seed + k) for k, frame in enumerate(pair)]
            flows.append(flowkit.tvl1_flow(*frames, params=PRESETS["micro"].replace(refit_credit=credit)))
        return np.sum((np.mean(flows, axis=0) * truth)[:, support]) / np.sum(truth[:, support] ** 2)

    with_credit = gain(PRESETS["micro"].refit_credit)
    assert with_credit > 0.65
    assert with_credit > 1.2 * gain(0.0)


def test_a_curved_motion_is_no_staircase():
    """What total variation and the refit make of a bump has steps, which strain shows, and smoothing takes away."""
    truth = fields.bump(96, 96, 1.2, 1.6, 8)
    frames = [as_recorded(frame, seed) for seed, frame in enumerate(fields.textured_pair(truth))]

    def strain_error(**changes: float) -> float:
        flow = flowkit.tvl1_flow(*frames, params=PRESETS["micro"].replace(**changes))
        return np.abs(flowkit.strain_magnitude(flow) - flowkit.strain_magnitude(truth.astype(np.float32))).mean()

    assert strain_error() < 0.85 * strain_error(flow_smoothing=0.0)


def test_smoothing_leaves_an_edge():
    """What departs from the mean by far more than `flow_edge` stays; what departs by less goes."""
    frames, _ = beside_a_moving_disc(3.0)
    params = PRESETS["micro"].replace(refit_steps=0)
    plain = flowkit.tvl1_flow(*frames, params=params.replace(flow_smoothing=0.0))
    kept, blurred = (
        np.hypot(*(flowkit.tvl1_flow(*frames, params=params.replace(flow_edge=edge)) - plain)).max()
        for edge in (0.01, 100.0)
    )
    assert kept < 0.0051, "of a departure d is lost d / (1 + (d / edge)^2), half of the edge at most"
    assert blurred > 0.5


def test_noise_alone_is_seldom_significant():
    """Where nothing moves the refit adds little: its significances are chi-square distributed there."""
    frames = as_recorded(still_face(), 3), as_recorded(still_face(), 4)
    params = PRESETS["micro"]
    plain = flowkit.tvl1_flow(*frames, params=params.replace(refit_steps=0))
    refitted = flowkit.tvl1_flow(*frames, params=params)
    changed = np.hypot(*(refitted - plain)) > 0.01
    assert changed.mean() < 0.1
    assert np.hypot(*refitted).mean() < 0.02


def test_averages_have_a_preset_that_takes_less_for_motion_and_reports_more():
    """Of 4 + 4 frames: half of the false motion that is left to micro, and no less of a bump."""
    face, truth = still_face(), fields.bump(96, 96, 0.3, 0.4, 8)
    support = np.hypot(*truth) > 0.1

    def flow(first: np.ndarray, second: np.ndarray, preset: str) -> np.ndarray:
        phases = (np.stack([as_recorded(f, 10 * k + n) for n in range(4)]) for k, f in enumerate((first, second)))
        return flowkit.tvl1_flow(*map(flowkit.average_phase, phases), preset=preset, value_range=(0, 255))

    still = {preset: np.hypot(*flow(face, face, preset)).mean() for preset in ("micro", "micro-phases")}
    assert still["micro-phases"] < 0.6 * still["micro"]
    moved = {preset: flow(*fields.textured_pair(truth), preset) for preset in still}
    gain = {preset: np.sum((found * truth)[:, support]) for preset, found in moved.items()}
    assert gain["micro-phases"] > gain["micro"]


@pytest.mark.parametrize("amplitude_px", [0.2, 0.5, 1.0, 2.0])
def test_the_default_is_more_accurate_than_opencv_on_faces(amplitude_px):
    image0, image1, truth = fields.facial_pair(128, amplitude_px)
    error = {
        name: fields.endpoint_error(flowkit.tvl1_flow(image0, image1, preset=name), truth).mean()
        for name in ("micro", "opencv")
    }
    assert error["micro"] < error["opencv"]
