"""Random access is sequential reading, frame by frame, over the containers and codecs that PyAV can write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

import flowkit
from flowkit.frames import VIDEO_SUFFIXES, open_source
from flowkit.frames.opened import Opened
from flowkit.motion.cube import motion_cube
from tests.videos import B_FRAMES, decode_all, write_video

GROUPS = {"g": "12"}
B_GROUPS = {"g": "12", "bf": "2"}
QUICK = {"g": "12", "deadline": "realtime", "cpu-used": "8"}
CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "asv1": ("yuv420p", {}),
    "asv2": ("yuv420p", {}),
    "cinepak": ("rgb24", GROUPS),
    "ffv1": ("yuv420p", GROUPS),
    "ffvhuff": ("yuv420p", {}),
    "flashsv": ("bgr24", GROUPS),
    "flashsv2": ("bgr24", GROUPS),
    "flv": ("yuv420p", GROUPS),
    "h263": ("yuv420p", GROUPS),
    "huffyuv": ("yuv422p", {}),
    "libsvtav1": ("yuv420p", {"preset": "12", "g": "12", "svtav1-params": "lp=1"}),
    "libvpx": ("yuv420p", {**QUICK, "auto-alt-ref": "1", "lag-in-frames": "8"}),
    "libvpx-vp9": ("yuv420p", QUICK),
    "libx264": ("yuv420p", B_FRAMES),
    "libx265": (
        "yuv420p",
        {"preset": "ultrafast", "x265-params": "keyint=12:bframes=3:open-gop=1:log-level=none:pools=none"},
    ),
    "magicyuv": ("yuv420p", {}),
    "mjpeg": ("yuvj420p", {}),
    "mpeg1video": ("yuv420p", B_GROUPS),
    "mpeg2video": ("yuv420p", B_GROUPS),
    "mpeg4": ("yuv420p", B_GROUPS),
    "msmpeg4": ("yuv420p", GROUPS),
    "msmpeg4v2": ("yuv420p", GROUPS),
    "msvideo1": ("rgb555le", GROUPS),
    "png": ("rgb24", {}),
    "prores_ks": ("yuv422p10le", {}),
    "qtrle": ("rgb24", GROUPS),
    "rawvideo": ("yuv420p", {}),
    "rpza": ("rgb555le", GROUPS),
    "snow": ("yuv420p", GROUPS),
    "svq1": ("yuv410p", GROUPS),
    "utvideo": ("yuv420p", {}),
    "wmv1": ("yuv420p", GROUPS),
    "wmv2": ("yuv420p", GROUPS),
    "zmbv": ("bgr0", GROUPS),
}
ALL = {
    "mp4": "libx264 libx265 libsvtav1 libvpx-vp9 mpeg4 mpeg2video mpeg1video mjpeg",
    "m4v": "libx264 mpeg4",
    "mov": "libx264 libx265 mpeg4 mjpeg prores_ks qtrle svq1 png h263 cinepak rpza",
    "3gp": "h263 mpeg4 libx264",
    "3g2": "h263",
    "f4v": "libx264",
    "mkv": "libx264 libx265 libsvtav1 libvpx libvpx-vp9 mpeg4 mpeg2video mpeg1video mjpeg ffv1 rawvideo snow",
    "webm": "libvpx libvpx-vp9 libsvtav1",
    "avi": "libx264 mpeg4 mpeg2video mpeg1video mjpeg ffv1 huffyuv ffvhuff utvideo rawvideo wmv1 wmv2 msmpeg4 msmpeg4v2"
    " cinepak zmbv asv1 asv2 msvideo1 h263 snow magicyuv flashsv libvpx",
    "wmv": "wmv1 wmv2 msmpeg4 libx264",
    "asf": "mpeg4 wmv2",
    "flv": "flv libx264 flashsv flashsv2",
    "ogv": "libvpx",
    "mxf": "mpeg2video libx264",
    "mpg": "mpeg1video mpeg2video",
    "mpeg": "mpeg2video",
    "vob": "mpeg2video",
    "ts": "libx264 libx265 mpeg2video mpeg1video mpeg4",
    "mts": "libx264",
    "m2ts": "libx264 mpeg2video",
}
EVERY = [f"{codec}.{suffix}" for suffix, codecs in ALL.items() for codec in codecs.split()]
SOME = [
    "mpeg1video.mpg",
    "mpeg2video.vob",
    "libx264.ts",
    "wmv2.asf",
    "libx265.mp4",
    "libvpx-vp9.webm",
    "libx264.avi",
]


HANDFUL = ["libx264.ts", "libvpx-vp9.webm", "libx264.avi", "libx265.mp4", "wmv2.wmv"]


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    level, scheduler = av.logging.get_level(), os.sched_getscheduler(0)
    av.logging.set_level(None)
    yield
    av.logging.set_level(level)
    assert os.sched_getscheduler(0) == scheduler, "an encoder has taken real-time priority from the tests beside it"


def written(folder: Path, name: str) -> Path:
    """A video of 60 frames."""
    codec, _, suffix = name.partition(".")
    pix_fmt, options = CODECS[codec]
    return write_video(folder / f"a.{suffix}", codec, options, pix_fmt=pix_fmt)


def assert_random_access_is_exact(path: Path, step: int = 1) -> None:
    """Every frame in sequence, every `step`-th alone and of a stretch."""
    source, expected = open_source(path), decode_all(path)
    assert [len(source.numbers()), source.last] == [len(expected), len(expected) - 1] == [60, 59]
    for number, (_, frame) in zip(range(60), source.read(source.numbers()), strict=True):
        np.testing.assert_array_equal(frame, expected[number], err_msg=f"{number} in sequence")
        if number % step:
            continue
        [(_, alone)] = source.read([number])
        np.testing.assert_array_equal(alone, expected[number], err_msg=f"{number} alone")
        [(_, sent)] = source.only([number]).read([number])
        np.testing.assert_array_equal(sent, expected[number], err_msg=f"{number} of a stretch")
    opened = Opened()
    for part in (range(9), range(9, 13), [13], range(15, 21), [21, 40], range(41, 60), range(30, 33), range(33, 60)):
        for number, frame in source.only(part).read(part, opened=opened):
            np.testing.assert_array_equal(frame, expected[number], err_msg=f"{number} of a stretch that goes on")
    opened.close()


@pytest.mark.parametrize("name", SOME)
def test_random_access_is_sequential_reading(tmp_path: Path, name: str) -> None:
    assert_random_access_is_exact(written(tmp_path, name))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in EVERY if name not in SOME])
def test_random_access_is_sequential_reading_in_every_format(tmp_path: Path, name: str) -> None:
    assert_random_access_is_exact(written(tmp_path, name))


def test_every_known_suffix_is_read() -> None:
    assert {f".{suffix}" for suffix in ALL} == set(VIDEO_SUFFIXES)
    assert len(EVERY) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("gop", ["11", "15", "18"])
@pytest.mark.parametrize("bf", ["0", "2"])
@pytest.mark.parametrize("name", ["mpeg1video.mpg", "mpeg2video.vob"])
def test_program_streams_of_any_group(tmp_path: Path, name: str, gop: str, bf: str) -> None:
    codec, _, suffix = name.partition(".")
    assert_random_access_is_exact(write_video(tmp_path / f"a.{suffix}", codec, {"g": gop, "bf": bf}))


def test_a_program_stream_with_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.mpg"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg2video", rate=25, options=B_GROUPS)
        video.height, video.width, video.pix_fmt = 96, 128, "yuv420p"
        sound = container.add_stream("mp2", rate=44100, layout="mono")
        for _ in range(60):
            noise = np.random.default_rng(_).integers(0, 255, (96, 128, 3), dtype=np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
            heard = av.AudioFrame.from_ndarray(np.zeros((1, 1764), np.int16), format="s16", layout="mono")
            heard.sample_rate = 44100
            container.mux(sound.encode(heard))
        for stream in (video, sound):
            container.mux(stream.encode())
    assert_random_access_is_exact(path)


@pytest.mark.parametrize(
    "name",
    ["mpeg1video.mpg", *(pytest.param(f"{name}", marks=pytest.mark.slow) for name in HANDFUL)],
)
def test_an_extraction_in_parts_has_the_cubes_of_sequential_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = written(tmp_path, name)
    monkeypatch.setattr("flowkit.extraction.plan.MOST_ROWS", 9)
    assert flowkit.extract(path, tmp_path / "out", pairs="lag:1", preset="fast", workers=1).parts == 7
    frames = np.stack(decode_all(path))
    expected = motion_cube(frames[:-1], frames[1:], preset="fast")
    shards = flowkit.read(tmp_path / "out")
    assert shards.table(["frame0"])["frame0"].to_pylist() == list(range(59))
    np.testing.assert_array_equal(np.concatenate(list(shards.cubes())), expected)


def intra_refreshed(folder: Path) -> Path:
    """A video without whole keyframes: a column at a time is coded anew, and 12 frames renew the picture."""
    options = {"x264-params": "intra-refresh=1:keyint=12:bframes=0:scenecut=0:ref=1", "preset": "veryfast"}
    return write_video(folder / "refresh.mp4", "libx264", options)


def test_frames_before_a_refreshed_picture_are_read_from_an_earlier_one(tmp_path: Path) -> None:
    assert_random_access_is_exact(intra_refreshed(tmp_path), step=7)
