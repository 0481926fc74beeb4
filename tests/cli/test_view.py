"""The command view writes a picture."""

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from tests.clips import dataset, texture


@pytest.fixture
def extracted(flowkit, tmp_path):
    clips = dataset(tmp_path, clips=1)
    assert flowkit("extract", tmp_path / "manifest.csv", "-o", tmp_path / "out")[0] == 0
    return tmp_path / "out", clips[0].clip_id


def test_view_draws_a_pair(flowkit, tmp_path, extracted):
    picture = tmp_path / "picture.png"
    code, stdout, _ = flowkit("view", extracted[0], "--clip", extracted[1], "-o", picture)
    assert (code, stdout) == (0, f"-> {picture}\n")
    assert cv2.imread(str(picture)).shape[0] > 64


@pytest.mark.parametrize(("suffix", "form"), [(".png", "PNG"), (".JPG", "JPEG"), (".jpeg", "JPEG"), (".webp", "WEBP")])
def test_the_suffix_says_the_format(flowkit, tmp_path, extracted, suffix, form):
    picture = tmp_path / f"picture{suffix}"
    assert flowkit("view", extracted[0], "--clip", extracted[1], "-o", picture)[0] == 0
    with Image.open(picture) as image:
        assert image.format == form
        assert np.asarray(image.convert("RGB")).std() > 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-o", "picture.gif"], "picture 'picture.gif': its name must end in .png, .jpg, .jpeg, .webp"),
        (["-o", "picture"], "picture 'picture': its name must end in .png, .jpg, .jpeg, .webp"),
        (["-o", "p.png", "--scale", "0"], "--scale 0: give a number of pixels above 0"),
        (["-o", "p.png", "--scale", "nan"], "--scale nan: give a number of pixels above 0"),
        (["-o", "p.png", "--pair", "7"], "pair 7: toy/sub01/ep01 has 1 pairs, numbered from 0"),
        (["-o", f"{'p' * 300}.png"], f"picture '{'p' * 300}.png' cannot be written: "),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(flowkit, tmp_path, monkeypatch, extracted, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = flowkit("view", extracted[0], "--clip", extracted[1], *arguments)
    assert (code, stdout) == (2, "")
    assert stderr.startswith(f"flowkit: {sentence}")
    assert stderr.count("\n") == 1
    assert not list(tmp_path.glob("p*"))


def scenes(path, lengths):
    """A video of several scenes, each of a texture of its own that moves by a pixel a frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, width=64, height=64, pix_fmt="yuv420p")
        stream.bit_rate = 4_000_000
        for scene, length in enumerate(lengths):
            wide = texture(0, (64, 64 + length), seed=scene)
            for i in range(length):
                frame = np.ascontiguousarray(wide[:, i : i + 64])
                container.mux(
                    stream.encode(av.VideoFrame.from_ndarray(frame, format="gray").reformat(format="yuv420p"))
                )
        container.mux(stream.encode())
    return path


def test_scene_cuts_are_passed_over_and_told(flowkit, tmp_path):
    clip = scenes(tmp_path / "talk.mp4", (4, 5, 3))
    assert flowkit("extract", clip, "-o", tmp_path / "out")[0] == 0
    code, _, stderr = flowkit("view", tmp_path / "out", "--clip", "talk.mp4", "-o", tmp_path / "p.png")
    assert code == 0
    told = "passed over 2 that look like scene cuts (3, 8), which --pair draws\n"
    assert stderr.endswith((told, told.replace("3, 8", "8, 3")))
    assert flowkit("view", tmp_path / "out", "--clip", "talk.mp4", "-o", tmp_path / "cut.png", "--pair", 3)[0] == 0


def test_pictures_with_one_scale_can_be_compared(flowkit, tmp_path, extracted):
    pictures = [tmp_path / f"{name}.png" for name in ("own", "fine", "coarse")]
    for picture, scale in zip(pictures, ([], ["--scale", "0.5"], ["--scale", "50"]), strict=True):
        assert flowkit("view", extracted[0], "--clip", extracted[1], "-o", picture, *scale)[0] == 0
    saturation = []
    for picture in pictures:
        with Image.open(picture) as image:
            flow = np.asarray(image)[104:392, 20 + 2 * 308 : 308 + 2 * 308].astype(int)
        saturation.append((flow.max(axis=-1) - flow.min(axis=-1)).mean())
    assert saturation[1] > saturation[0] > saturation[2] + 20
