"""No time for a wrong answer: what is measured is checked against the truth and against OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flowkit.bench import WrongAnswer, measure, peers, presets
from flowkit.bench.methods import DUAL_TVL1, Method


def method(name: str, solve) -> Method:
    return Method(name, lambda threads: lambda batch: [solve(*frames) for frames in batch])


def preset(name: str) -> Method:
    return next(m for m in presets() if m.name == f"flowkit {name}")


def test_measured_errors_are_those_of_the_flow(pairs):
    by_name = {m.method: m for m in measure([preset("opencv"), *peers(["opencv"])[0]], [DUAL_TVL1], pairs, rounds=4)}
    ours, theirs = by_name["flowkit opencv"], by_name[DUAL_TVL1]
    solver = cv2.optflow.DualTVL1OpticalFlow.create()
    flows = [solver.calc(pair.frame0, pair.frame1, None).transpose(2, 0, 1) for pair in pairs]
    again = [np.hypot(*(flow - pair.truth)).mean() for flow, pair in zip(flows, pairs, strict=True)]
    assert theirs.error_px == pytest.approx(np.mean(again))
    assert theirs.errors_px == pytest.approx({"0.5": np.mean(again[:2]), "2": np.mean(again[2:])})
    assert ours.differs_by[DUAL_TVL1] < 0.01
    assert ours.times_as_fast_as[DUAL_TVL1] > 3
    assert theirs.times_as_fast_as == {}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda flow: flow[::-1], "nearer"),
        (lambda flow: -flow, "nearer as no motion at all"),
        (lambda flow: 2.1 * flow, "nearer as no motion at all"),
        (lambda flow: np.stack([flow[0], -flow[1]]), "nearer"),
        (lambda flow: flow * np.nan, "finite"),
        (lambda flow: flow[:, 1:], "shape"),
    ],
)
def test_a_wrong_flow_is_an_error(pairs, spoil, words):
    wrong = {id(pair.frame0): np.asarray(spoil(pair.truth)) for pair in pairs}
    wrong_method = method("broken", lambda frame0, _: wrong[id(frame0)])
    with pytest.raises(WrongAnswer, match=rf"broken.*{words}"):
        measure([wrong_method], [], pairs, rounds=len(pairs), warm_up=False)


@pytest.mark.parametrize(("shift", "words"), [(0.02, "allowed is less than 0.01"), (0.005, "from truth")])
def test_preset_opencv_must_be_opencvs(pairs, shift, words):
    (peer,), _ = peers(["opencv"])
    truth = {id(pair.frame0): pair.truth for pair in pairs}

    def nearly(frame0, frame1):
        flow = peer.make(1)([(frame0, frame1)])[0]
        return flow + np.float32(shift) * np.sign(flow - truth[id(frame0)])

    with pytest.raises(WrongAnswer, match=words):
        measure([method("flowkit opencv", nearly), peer], [DUAL_TVL1], pairs, rounds=len(pairs), warm_up=False)
