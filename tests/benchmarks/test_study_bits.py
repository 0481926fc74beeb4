"""Preset `opencv` has cv2's bits, at every SIMD level, also on the study's pairs on which one rounding decides."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("skimage", reason="scikit-image is not installed")

from benchmarks.study.peers import method, peer
from benchmarks.study.shots import shots
from benchmarks.study.stage import stage
from flowkit import _core
from tests.motion.test_flow import SAME_ROUNDING

TELLING = (25, 448, 466, 477, 478, 479, 489)
"""Of the tuning set's 532: those on which it tells how one length, one fused product or one small gradient is taken."""


@pytest.mark.skipif(not SAME_ROUNDING, reason="this OpenCV or this processor rounds otherwise")
@pytest.mark.parametrize("number", TELLING)
def test_the_opencv_preset_has_opencvs_bits_where_one_rounding_decides(request, number):
    pair = stage(shots("tuning", 8)[number])
    frames = pair.frame0[None], pair.frame1[None]
    theirs = peer("cv2")(*frames)
    request.addfinalizer(lambda: _core.set_simd("auto"))
    for level in _core.simd_levels():
        _core.set_simd(level)
        assert np.array_equal(method("cv2", {})(*frames), theirs), level
