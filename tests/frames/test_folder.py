"""Folders of frames in: numbers come from names, pixels as they were stored, and a bad file costs itself only."""

from __future__ import annotations

import pickle
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from flowkit.errors import FrameError, InputError
from flowkit.frames import FolderSource, FrameSource, is_video, open_source


def read_all(source: FrameSource) -> dict[int, NDArray[np.generic] | FrameError]:
    return dict(source.read(source.numbers()))


def failed(source: FrameSource) -> list[int]:
    return [number for number, frame in source.read(source.numbers()) if isinstance(frame, FrameError)]


def write_frame(folder: Path, name: str, value: int = 0) -> Path:
    path = folder / name
    assert cv2.imwrite(str(path), np.full((24, 32, 3), value, np.uint8))
    return path


def test_number_is_the_last_integer_of_the_name(tmp_path: Path) -> None:
    for value, name in enumerate(["img2.jpg", "reg_img10.JPG", "006_05562.jpeg", "0015.png", "s1_t3 7.bmp", "1.tif"]):
        write_frame(tmp_path, name, 20 * value)
    source = open_source(str(tmp_path))
    assert list(source.numbers()) == [1, 2, 7, 10, 15, 5562]  # natural order, whatever the padding
    assert (source.first, source.last, source.fps, source.size()) == (1, 5562, None, (24, 32))
    values = {number: int(np.median(frame)) for number, frame in source.read([5562, 15, 10, 7, 2, 1, 2])}
    assert values == {1: 100, 2: 0, 7: 80, 10: 20, 15: 60, 5562: 40}
    assert source.decoder == f"simplejpeg {version('simplejpeg')}, opencv {cv2.__version__}"


def test_other_files_are_ignored(tmp_path: Path) -> None:
    write_frame(tmp_path, "img3.jpg")
    for name in (".img4.jpg", "._img5.jpg", "img6.txt", "Thumbs.db", "cover.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "7.jpg").mkdir()
    assert list(FolderSource(tmp_path).numbers()) == [3]


def test_two_files_of_one_number_are_refused(tmp_path: Path) -> None:
    write_frame(tmp_path, "img046.jpg")
    write_frame(tmp_path, "reg_img46.png")
    with pytest.raises(InputError, match=r"img046\.jpg and reg_img46\.png are both frame 46"):
        open_source(tmp_path)


def test_folder_without_numbered_images_is_refused(tmp_path: Path) -> None:
    write_frame(tmp_path, "apex.jpg")
    with pytest.raises(InputError, match=f"{tmp_path.name} has no image named by number"):
        open_source(tmp_path)


def test_missing_number_costs_itself_only(tmp_path: Path) -> None:
    for number in (3, 5):
        write_frame(tmp_path, f"img{number}.jpg")
    (_, three), (_, four), (_, five) = FolderSource(tmp_path).read(range(3, 6))
    assert three.shape == five.shape == (24, 32)
    assert isinstance(four, FrameError)
    assert "has no frame 4, its frames are 3 to 5" in str(four)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif"])
@pytest.mark.parametrize("damage", ["half", "last bytes", "empty", "garbage"])
def test_damaged_image_costs_itself_only(tmp_path: Path, suffix: str, damage: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    for number in range(3):
        assert cv2.imwrite(str(tmp_path / f"{number}{suffix}"), picture)
    path = tmp_path / f"1{suffix}"
    data = path.read_bytes()
    cut = {"half": data[: len(data) // 2], "last bytes": data[:-2], "empty": b"", "garbage": b"garbage" * 200}
    path.write_bytes(cut[damage])
    source = FolderSource(tmp_path)
    assert failed(source) == [1]
    assert f"1{suffix}: frame 1 cannot be decoded" in str(read_all(source)[1])


def test_first_frame_damaged_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"garbage")
    with pytest.raises(FrameError, match=r"1\.jpg: frame 1 cannot be decoded"):
        FolderSource(tmp_path).size()


def test_jpeg_grey_is_its_luma_and_not_a_converted_colour_decode(tmp_path: Path) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, :32, 0] = picture[20:40, :, 2] = 255  # saturated colours, which clip when decoded
    path = tmp_path / "1.jpg"
    path.write_bytes(simplejpeg.encode_jpeg(picture, quality=75, colorspace="RGB"))
    source = FolderSource(tmp_path)
    grey = next(source.read([1]))[1]
    colour = next(source.read([1], colour=True))[1]
    assert (grey.shape, grey.dtype, colour.shape) == ((64, 64), np.uint8, (64, 64, 3))
    np.testing.assert_array_equal(grey, cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    assert np.abs(grey.astype(int) - cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)).max() > 0
    assert np.abs(colour.astype(int) - picture).mean() < 12  # red stays red


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_kept(tmp_path: Path, suffix: str) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30), dtype=np.uint16)
    assert cv2.imwrite(str(tmp_path / f"1{suffix}"), deep)
    source = FolderSource(tmp_path)
    grey = next(source.read([1]))[1]
    assert grey.dtype == np.uint16
    np.testing.assert_array_equal(grey, deep)
    colour = next(source.read([1], colour=True))[1]
    np.testing.assert_array_equal(colour, np.round(deep / 257).astype(np.uint8)[..., None].repeat(3, axis=2))


def test_lossless_colour_and_grey(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    bgra = np.dstack([rgb[..., ::-1], np.full((20, 30), 99, np.uint8)])
    assert cv2.imwrite(str(tmp_path / "1.png"), rgb[..., ::-1])
    assert cv2.imwrite(str(tmp_path / "2.png"), bgra)
    assert cv2.imwrite(str(tmp_path / "3.bmp"), rgb[..., ::-1])
    assert cv2.imwrite(str(tmp_path / "4.png"), rgb.astype(np.uint16)[..., ::-1] * 257)
    assert cv2.imwrite(str(tmp_path / "5.png"), rgb[..., 1])
    source = FolderSource(tmp_path)
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    for number, frame in source.read([1, 2, 3]):
        assert np.abs(frame - luma).max() <= 0.51, number
    assert np.abs(next(source.read([4]))[1] / 257 - luma).max() <= 0.51
    for number, frame in source.read([1, 2, 3, 4], colour=True):
        np.testing.assert_array_equal(frame, rgb, err_msg=str(number))
    np.testing.assert_array_equal(next(source.read([5]))[1], rgb[..., 1])


def test_float_image_is_refused(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "1.tif"), np.zeros((8, 8), np.float32))
    [(_, error)] = FolderSource(tmp_path).read([1])
    assert isinstance(error, FrameError)
    assert "float32" in str(error)


def test_source_can_be_pickled(tmp_path: Path) -> None:
    write_frame(tmp_path, "7.png", 50)
    again = pickle.loads(pickle.dumps(FolderSource(tmp_path)))
    assert list(again.numbers()) == [7]
    assert np.all(next(again.read([7]))[1] == 50)


def test_sources_are_told_apart(tmp_path: Path) -> None:
    assert is_video("a/B.MP4")
    assert is_video(Path("clip.avi"))
    assert not is_video("frames.csv")
    with pytest.raises(InputError, match="nowhere does not exist"):
        open_source(tmp_path / "nowhere")
    (tmp_path / "table.csv").write_text("x")
    with pytest.raises(InputError, match=r"table\.csv is neither a folder of numbered frames nor a video"):
        open_source(tmp_path / "table.csv")
