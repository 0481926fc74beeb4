"""The command view writes a picture."""

import cv2

from tests.clips import dataset


def test_view_draws_a_pair(flowkit, tmp_path):
    clips = dataset(tmp_path, clips=1)
    assert flowkit("extract", tmp_path / "manifest.csv", "-o", tmp_path / "out")[0] == 0
    picture = tmp_path / "picture.png"
    code, stdout, _ = flowkit("view", tmp_path / "out", "--clip", clips[0].clip_id, "-o", picture)
    assert (code, stdout) == (0, f"-> {picture}\n")
    assert cv2.imread(str(picture)).shape[0] > 64
