"""Faces that can be told apart, with features where muscles act."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest

from flowkit.errors import InputError
from flowkit.synthetic.faces import neutral_face


def test_faces_differ_from_person_to_person_and_from_seed_to_seed() -> None:
    people = [neutral_face(identity, 64).picture for identity in range(8)]
    for i, one in enumerate(people):
        assert one.shape == (64, 64, 3)
        assert one.min() >= 0
        assert one.max() <= 255
        assert one.std() > 20
        for other in people[:i]:
            assert np.abs(one - other).mean() > 4
    assert np.abs(neutral_face(1, 64, seed=1).picture - people[1]).mean() > 4
    np.testing.assert_array_equal(neutral_face(0, 64, seed=1).picture, people[0])


@pytest.mark.parametrize("identity", [0, 1, 2, 5])
def test_faces_have_features_at_their_landmarks(identity: int) -> None:
    # Where muscles act there must be something to see: contrast at brows and mouth corners.
    face = neutral_face(identity, 256)
    grey = cv2.cvtColor(face.picture, cv2.COLOR_RGB2GRAY)
    for x, y in (*face.landmarks.brow_inner, *face.landmarks.mouth_corner, face.landmarks.lower_lip):
        patch = grey[int(256 * y) - 14 : int(256 * y) + 14, int(256 * x) - 14 : int(256 * x) + 14]
        assert patch.std() > 4


def test_skin_has_texture_everywhere() -> None:
    # Flow sees nothing on flat skin; sensor noise has a sigma of 1 grey level, texture must exceed it.
    for identity in range(1, 8):
        grey = cv2.cvtColor(neutral_face(identity, 256).picture, cv2.COLOR_RGB2GRAY)
        cheek = grey[140:170, 80:110]
        assert (cheek - cv2.GaussianBlur(cheek, (0, 0), 4)).std() > 1.5


def test_a_missing_portrait_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(InputError, match=r"pip install 'flowkit-mer\[demo\]'"):
        neutral_face(0, 72)
    assert neutral_face(1, 72).picture.shape == (72, 72, 3)


def test_a_face_needs_a_side() -> None:
    with pytest.raises(InputError, match="side=8"):
        neutral_face(1, 8)
    with pytest.raises(InputError, match="identity=-1"):
        neutral_face(-1, 64)
