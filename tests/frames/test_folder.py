"""Folders of frames in: numbers come from names, pixels as they were stored, and a bad file costs itself only."""

from __future__ import annotations

import errno
import os
import pickle
import struct
import zlib
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from flowkit.errors import FrameError, InputError
from flowkit.frames import FolderSource, FrameSource, is_video, open_source
from flowkit.frames.survey import survey_source


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


# ---- what is no frame, and what OpenCV would print


def exif(number: int) -> bytes:
    """An APP1 segment of a JPEG with an orientation, as cameras write it."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, number, 0, 0)
    return b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff


def turned(data: bytes, number: int) -> bytes:
    """A JPEG with that EXIF orientation."""
    return data[:2] + exif(number) + data[2:]


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize("first", [1, 6])
def test_a_frame_of_another_exif_orientation_fails(tmp_path: Path, first: int) -> None:
    data = write_frame(tmp_path, "0.jpg", 40).read_bytes()
    for number, orientation in enumerate([first, first, 3, first]):
        (tmp_path / f"{number}.jpg").write_bytes(turned(data, orientation))
    (tmp_path / "4.jpg").write_bytes(data)  # without a word: upright
    source = FolderSource(tmp_path)
    assert failed(source) == ([2] if first == 1 else [2, 4])
    assert f"frame 2 has the EXIF orientation 3, the first frame {first}" in str(read_all(source)[2])
    assert failed(pickle.loads(pickle.dumps(source.only([2, 3])))) == [2]


def test_exif_orientation_of_a_png_counts_too(tmp_path: Path) -> None:
    data = write_frame(tmp_path, "0.png").read_bytes()
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 8, 0, 0)
    (tmp_path / "1.png").write_bytes(data[:33] + chunk(b"eXIf", tiff) + data[33:])
    assert failed(FolderSource(tmp_path)) == [1]


def test_a_clip_that_is_turned_as_a_whole_is_read(tmp_path: Path) -> None:
    for name in ("0.jpg", "1.jpg"):
        path = write_frame(tmp_path, name, 90)
        path.write_bytes(turned(path.read_bytes(), 6))
    assert failed(FolderSource(tmp_path)) == []
    assert FolderSource(tmp_path).size() == (24, 32)  # not applied


def test_damaged_exif_is_no_orientation(tmp_path: Path) -> None:
    data = write_frame(tmp_path, "0.jpg", 40).read_bytes()
    rng = np.random.default_rng(0)
    for number in range(1, 40):
        bad = bytearray(turned(data, 1))
        bad[14 + int(rng.integers(20))] = int(rng.integers(256))
        (tmp_path / f"{number}.jpg").write_bytes(bad)
    for frame in read_all(FolderSource(tmp_path)).values():
        assert not isinstance(frame, FrameError) or "EXIF orientation" in str(frame)


def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    write_frame(tmp_path, "1.png")
    os.mkfifo(tmp_path / "2.png")
    source = FolderSource(tmp_path)
    assert list(source.numbers()) == [1]
    write_frame(tmp_path, "3.png")
    later = FolderSource(tmp_path)
    (tmp_path / "3.png").unlink()
    os.mkfifo(tmp_path / "3.png")
    assert "no regular file" in str(read_all(later)[3])
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"a\.mp4 is no regular file"):
        open_source(tmp_path / "a.mp4")


def test_a_number_above_64_bits_is_refused(tmp_path: Path) -> None:
    write_frame(tmp_path, f"i{10**17}.png")
    assert FolderSource(tmp_path).last == 10**17
    write_frame(tmp_path, f"i{2**63}.png")
    with pytest.raises(InputError, match=f"the number in i{2**63}.png has more than 18 digits"):
        FolderSource(tmp_path)


def test_a_folder_that_cannot_be_listed_is_its_clips_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_frame(tmp_path, "1.png")

    def refuse(path: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("flowkit.frames.folder.os.scandir", refuse)
    found = survey_source(tmp_path)
    assert (found.source, found.error) == (None, f"{tmp_path} cannot be listed (Permission denied); make it readable")


def test_damaged_images_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    rng, number = np.random.default_rng(1), 0
    for suffix in (".png", ".tif", ".bmp", ".jpg"):
        data = cv2.imencode(suffix, picture)[1].tobytes()
        for damage in range(40):
            bad = bytearray(data)
            if damage % 2:
                del bad[int(rng.integers(len(bad))) :]
            else:
                bad[int(rng.integers(min(len(bad), 80) if damage % 4 else len(bad)))] ^= 0x5A
            (tmp_path / f"{(number := number + 1)}{suffix}").write_bytes(bad)
    profile = cv2.imencode(".png", picture)[1].tobytes()
    odd = chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile")) + chunk(b"gAMA", b"\0\0\0\0")
    (tmp_path / "1000.png").write_bytes(profile[:33] + odd + profile[33:])
    source = FolderSource(tmp_path)
    frames = read_all(source)
    assert sum(isinstance(frame, FrameError) for frame in frames.values()) > 60
    assert not isinstance(frames[1000], FrameError)
    assert capfd.readouterr() == ("", "")
    assert cv2.utils.logging.getLogLevel() != cv2.utils.logging.LOG_LEVEL_SILENT
