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
from tests.videos import B_FRAMES, ENCODED, decode_all, index_shown, numbered_picture, write_video

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


def trimmed(path: Path) -> Path:
    """A video of 40 frames, its index in front, whose edit list shows the first half of them."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25, options=B_FRAMES)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        for index in range(40):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_picture(index), format="rgb24")))
        container.mux(stream.encode())
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    half = int.from_bytes(data[at : at + 4], "big") // 2
    path.write_bytes(data[:at] + half.to_bytes(4, "big") + data[at + 4 :])
    return path


def test_frames_that_an_edit_list_hides_are_not_promised(tmp_path: Path) -> None:
    path = trimmed(tmp_path / "trimmed.mp4")
    source, shown = VideoSource(path), [index_shown(frame) for frame in decode_all(path)]
    assert [index_shown(frame) for _, frame in source.read(source.numbers())] == shown == list(range(20))
    assert (source.last, failed(source)) == (19, {})
    summary = flowkit.extract(path, tmp_path / "out", pairs="lag:1", preset="fast", workers=1)
    assert (summary.planned, summary.computed) == (19, 19)


@pytest.mark.parametrize(("keep", "last"), [(0.4, 19), (0.9, 20)])
def test_a_trimmed_video_that_was_cut_off_fails_where_it_ends(tmp_path: Path, keep: float, last: int) -> None:
    """Of the second cut only what is hidden is lost: that the file was cut is said by one more frame."""
    source = VideoSource(cut(trimmed(tmp_path / "trimmed.mp4"), keep))
    assert source.last == last
    assert f"promises at least {last + 1} frames and holds {len(source.numbers())}" in failed(source)[last]


SLOTS = [0, 1, 2, 4, 5, *range(8, 25), *range(27, 40)]
"""Of an AVI's chunks those that hold a frame: five were dropped."""


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4", "ffv1", "libx264"])
def test_frames_that_an_avi_has_dropped_are_not_promised(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "dropped.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": "12", "bf": "0"})
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index, slot in enumerate(SLOTS):
            picture = av.VideoFrame.from_ndarray(numbered_picture(index), format="rgb24")
            picture.pts, picture.time_base = slot, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    source = VideoSource(path)
    assert [index_shown(frame) for _, frame in source.read(source.numbers())] == list(range(35))
    assert (source.last, failed(source)) == (34, {})
    source = VideoSource(cut(path))
    held = len(source.numbers())
    assert 10 < held < 30
    # The places behind the end that the header counts: which of them had been dropped nobody knows.
    assert source.last == held - 1 + 39 - SLOTS[held - 1]
    assert set(range(held, source.last + 1)) <= set(failed(source))


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
