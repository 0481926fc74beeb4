"""The methods that are measured: presets and peers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flowkit.bench import peers, presets
from flowkit.bench.methods import PEERS
from flowkit.params import PRESETS


@pytest.mark.parametrize("name", ["farneback", "dis-medium"])
def test_threads_share_pairs_out_in_order(pairs, name):
    (peer,), _ = peers([name])
    frames = [(pair.frame0, pair.frame1) for pair in pairs] + [(pairs[0].frame1, pairs[0].frame0)]
    assert all(map(np.array_equal, peer.make(3)(frames), peer.make(1)(frames)))


def test_every_preset_of_today_takes_part():
    today = [name for name in PRESETS if name not in ("micro-phases", "micro-0.1", "fast-0.1")]
    assert [m.name for m in presets()] == [f"flowkit {name}" for name in today]


def test_an_absent_peer_has_a_reason():
    found, absent = peers()
    assert {m.name for m in found} | set(absent) == {peer.name for peer in PEERS.values()}
    cuda = cv2.cuda.getCudaEnabledDeviceCount() if hasattr(cv2, "cuda") else 0
    assert ("cv2.cuda DualTVL1" in absent) == (cuda == 0)
