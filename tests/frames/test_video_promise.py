"""Videos that were cut off: what they promise and do not hold are missing frames; whole ones promise no more."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import flowkit
from flowkit.errors import FrameError
from flowkit.frames import VideoSource
from flowkit.frames.survey import survey_source
from flowkit.output.plan_file import read_survey
from tests.videos import ENCODED, write_video

QUICK = {"g": "12", "deadline": "realtime", "cpu-used": "8"}
CUT = {
    "a.webm": ("libvpx", QUICK),
    "a.mkv": ("mpeg4", {"g": "12"}),
    "a.avi": ("mpeg4", {"g": "12"}),
    "a.flv": ("flv", {"g": "12"}),
    "a.mxf": ("mpeg2video", {"g": "12"}),
    "a.mpg": ("mpeg2video", {"g": "12", "bf": "2"}),
    "a.vob": ("mpeg2video", {"g": "12", "bf": "2"}),
    "a.ts": ("mpeg2video", {"g": "12", "bf": "2"}),
    "a.wmv": ("wmv2", {"g": "12"}),
    "a.ogv": ("libvpx", QUICK),
}
COUNTED = ("a.webm", "a.mkv", "a.avi", "a.flv", "a.mxf")


def cut(path: Path, keep: float = 2 / 3) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) | 1])  # at no multiple of a packet
    return path


def failed(source: VideoSource) -> dict[int, str]:
    frames = source.read(range(source.first, source.last + 1))
    return {number: str(frame) for number, frame in frames if isinstance(frame, FrameError)}


@pytest.mark.parametrize("name", CUT)
def test_a_video_cut_at_two_thirds_fails_where_it_ends(tmp_path: Path, name: str) -> None:
    source = VideoSource(cut(write_video(tmp_path / name, *CUT[name])))
    errors, held = failed(source), len(source.numbers())
    assert 25 < held < 50
    assert errors
    if name in COUNTED:
        assert source.last in (58, 59, 60)  # where only a duration is promised, the number follows from it
        assert set(range(held, source.last + 1)) <= set(errors)
        assert f"promises at least {source.last + 1} frames and holds {held}: it was cut off" in errors[source.last]


def test_a_video_cut_behind_its_index_fails_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "front.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        for grey in range(60):
            picture = av.VideoFrame.from_ndarray(np.full((96, 128), 4 * grey, np.uint8), format="gray")
            container.mux(stream.encode(picture.reformat(format="yuv420p")))
        container.mux(stream.encode())
    assert (VideoSource(path).last, failed(VideoSource(path))) == (59, {})
    source = VideoSource(cut(path))
    assert (source.last, len(source.numbers()) < 59) == (59, True)
    assert "promises at least 60 frames" in failed(source)[59]


def test_a_cut_video_extracts_with_failure_rows(tmp_path: Path) -> None:
    path = cut(write_video(tmp_path / "a.webm", *CUT["a.webm"]))
    held = len(VideoSource(path).numbers())
    summary = flowkit.extract(path, tmp_path / "out", pairs="lag:1", preset="fast", workers=1)
    assert (summary.planned, summary.computed) == (59, held - 1)
    failures = flowkit.read(tmp_path / "out").failures().to_pylist()
    assert [row["frame1"] for row in failures] == list(range(held, 60))
    assert all(f"promises at least 60 frames and holds {held}" in row["error"] for row in failures)


@pytest.mark.parametrize("name", [*CUT, *ENCODED])
def test_whole_videos_promise_what_they_hold(tmp_path: Path, videos: dict[str, Path], name: str) -> None:
    path = videos[name] if name in videos else write_video(tmp_path / name, *CUT[name])
    source = VideoSource(path)
    assert (source.last, len(source.numbers()), failed(source)) == (59, 60, {})


def test_sound_that_goes_on_promises_no_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.height, video.width, video.pix_fmt = 96, 128, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for grey in range(30):
            picture = av.VideoFrame.from_ndarray(np.full((96, 128), grey, np.uint8), format="gray")
            container.mux(video.encode(picture.reformat(format="yuv420p")))
        container.mux(video.encode())
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 8000 * 5), np.int16), format="s16", layout="mono")
        heard.sample_rate = 8000
        container.mux(sound.encode(heard))
        container.mux(sound.encode())
    assert VideoSource(path).last == 29


def test_a_last_picture_that_stays_promises_no_frames(tmp_path: Path) -> None:
    stamps = [*range(0, 400, 40), 1200, 1240]  # one interval of 0.84 s, and a last picture of unknown length
    path = write_video(tmp_path / "a.mkv", "mpeg4", {}, stamps, count=12)
    assert VideoSource(path).last == 11


def test_anamorphic_pixels_are_recorded_and_not_resampled(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
        for _ in range(3):
            picture = av.VideoFrame.from_ndarray(np.zeros((96, 128), np.uint8), format="gray")
            container.mux(stream.encode(picture.reformat(format="yuv420p")))
        container.mux(stream.encode())
    found = survey_source(path)
    assert (str(found.opened().pixel_aspect), found.frame_size) == ("16/11", (96, 128))
    flowkit.extract(path, tmp_path / "out", pairs="lag:1", preset="fast", workers=1)
    (row,) = read_survey(tmp_path / "out").to_pylist()
    assert (row["rate"], row["fps"], row["pixel_aspect"]) == ("constant", 25.0, "16:11")
