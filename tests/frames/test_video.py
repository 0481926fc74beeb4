"""Video in: every frame read is exactly the one asked for, whatever the container and the codec do."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from flowkit.errors import FrameError
from flowkit.frames import FrameSource, VideoSource, open_source, video_index
from flowkit.frames.opened import Opened
from tests.frames.test_folder import turned
from tests.videos import ENCODED, damage_packet, decode_all, index_shown, numbered_picture, write_video


def read_all(source: FrameSource) -> dict[int, NDArray[np.generic] | FrameError]:
    return dict(source.read(source.numbers()))


def failed(source: FrameSource) -> list[int]:
    return [number for number, frame in source.read(source.numbers()) if isinstance(frame, FrameError)]


@pytest.mark.parametrize("name", ENCODED)
def test_video_gives_every_frame_by_its_number(videos: dict[str, Path], name: str) -> None:
    source = open_source(videos[name])
    assert list(source.numbers()) == list(range(60))
    assert [index_shown(frame) for frame in read_all(source).values()] == list(range(60))


@pytest.mark.parametrize("name", ENCODED)
def test_random_access_is_bitwise_the_sequential_decode(videos: dict[str, Path], name: str) -> None:
    source, expected = VideoSource(videos[name]), decode_all(videos[name])
    assert len(expected) == 60
    for number in range(60):
        [(got, frame)] = source.read([number])
        assert got == number
        np.testing.assert_array_equal(frame, expected[number])


@pytest.mark.parametrize("name", ENCODED)
def test_scattered_numbers_come_once_and_ascending(videos: dict[str, Path], name: str) -> None:
    source = VideoSource(videos[name])
    shown = [(number, index_shown(frame)) for number, frame in source.read([59, 3, 31, 4, 3, 30])]
    assert shown == [(3, 3), (4, 4), (30, 30), (31, 31), (59, 59)]


def test_numbers_start_at_the_frame_base(videos: dict[str, Path]) -> None:
    source = open_source(videos["h264_b.mp4"], frame_base=1)
    assert (source.first, source.last, source.size(), source.fps) == (1, 60, (96, 128), 30.0)
    assert [(number, index_shown(frame)) for number, frame in source.read([1, 17])] == [(1, 0), (17, 16)]
    assert source.decoder == f"pyav {av.__version__} (h264)"


def test_number_outside_a_video_is_a_frame_error(videos: dict[str, Path]) -> None:
    (_, before), (_, inside), (_, after) = VideoSource(videos["mpeg4.avi"]).read([-1, 59, 60])
    assert index_shown(inside) == 59
    for number, error in ((-1, before), (60, after)):
        assert isinstance(error, FrameError)
        assert f"mpeg4.avi: frame {number} cannot be read: its frames are 0 to 59" in str(error)


def test_repeated_stamps_are_counted_from_the_beginning(tmp_path: Path) -> None:
    # Matroska's stamps are whole milliseconds: at 2000 frames/s every two frames share one.
    source = VideoSource(write_video(tmp_path / "fast.mkv", "libx264", {"g": "12", "bf": "0"}, rate=2000))
    assert [index_shown(frame) for _, frame in source.read(source.numbers())] == list(range(60))
    assert [index_shown(frame) for _, frame in source.read([7, 40])] == [7, 40]


def test_stamps_that_contradict_the_pictures_are_not_believed(videos: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "decoding_order.mkv"
    with av.open(str(videos["h264_b.mp4"])) as right, av.open(str(path), "w") as wrong:
        stream = wrong.add_stream_from_template(right.streams.video[0])
        for place, packet in enumerate(packet for packet in right.demux(video=0) if packet.size):
            packet.stream = stream
            packet.pts = packet.dts = 512 * place
            wrong.mux(packet)
    source = VideoSource(path)
    assert [index_shown(frame) for frame in read_all(source).values()] == list(range(60))
    assert [index_shown(frame) for _, frame in source.read([2, 30, 47])] == [2, 30, 47]


def test_frames_that_an_edit_list_hides_are_not_counted(videos: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    with av.open(str(videos["h264_b.mp4"])) as whole, av.open(str(path), "w") as cut:
        stream = cut.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size:
                packet.stream = stream
                packet.pts, packet.dts = packet.pts - 5 * 512, packet.dts - 5 * 512  # the first five before zero
                cut.mux(packet)
    expected = decode_all(path)
    source = VideoSource(path)
    assert len(source.numbers()) == len(expected) < 60
    for number in source.numbers():
        [(_, frame)] = source.read([number])
        np.testing.assert_array_equal(frame, expected[number])


def test_leading_pictures_of_a_cut_open_group_are_not_counted(videos: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "tail.mkv"
    with av.open(str(videos["open_groups.mp4"])) as whole, av.open(str(path), "w") as cut:
        stream = cut.add_stream_from_template(whole.streams.video[0])
        keys = 0
        for packet in whole.demux(video=0):
            keys += packet.is_keyframe
            if packet.size and keys >= 2:
                packet.stream = stream
                cut.mux(packet)
    assert [index_shown(frame) for frame in read_all(VideoSource(path)).values()] == list(range(12, 60))


@pytest.mark.parametrize(
    ("name", "packet", "lost"),
    [
        ("h264_b.mp4", 0, range(12)),  # a keyframe: its whole group
        ("h264_b.mp4", 13, range(13, 24)),  # a P-frame: also the B-frames shown before it
        ("open_groups.mp4", 17, range(17, 24)),
        ("open_groups.mp4", 36, [35]),  # a leading picture: nothing after its keyframe builds on it
        ("mpeg4.avi", 20, range(20, 24)),
    ],
)
def test_damage_costs_what_builds_on_it_and_no_more(
    videos: dict[str, Path], tmp_path: Path, name: str, packet: int, lost: Sequence[int]
) -> None:
    expected = decode_all(videos[name])
    source = VideoSource(damage_packet(videos[name], tmp_path / name, packet))
    frames = read_all(source)
    assert list(frames) == list(range(60))
    assert [number for number, frame in frames.items() if isinstance(frame, FrameError)] == list(lost)
    for number in range(60):
        [(_, frame)] = source.read([number])  # and the same when read alone
        if number in lost:
            assert isinstance(frame, FrameError)
        else:
            np.testing.assert_array_equal(frame, expected[number])
    for length in (2, 5, 7):  # and read on from part to part
        opened = Opened()
        for start in range(0, 60, length):
            part = range(start, min(start + length, 60))
            for number, frame in source.only(part).read(part, opened=opened):
                assert isinstance(frame, FrameError) == (number in lost)
                if number not in lost:
                    np.testing.assert_array_equal(frame, expected[number])
        opened.close()
    assert f"{name}: frame {lost[0]} cannot be read" in str(frames[lost[0]])


def test_a_video_that_is_read_in_parts_is_decoded_once(
    videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts of 3 frames, of groups of 12: without an open file each part begins with the group's keyframe."""
    shown: list[int | None] = []

    def counted(*args: Any) -> Iterator[tuple[int | None, av.VideoFrame | None]]:
        for pts, picture in video_index.decode(*args):
            shown.append(pts)
            yield pts, picture

    source, opened = VideoSource(videos["h264_b.mp4"]), Opened()
    monkeypatch.setattr("flowkit.frames.video.decode", counted)
    for start in range(0, 60, 3):
        part = source.only(range(start, start + 3))
        assert len(list(part.read(range(start, start + 3), opened=opened))) == 3
    assert len(shown) == len(set(shown)) == 60
    opened.close()
    shown.clear()
    for start in range(0, 60, 3):
        list(source.only(range(start, start + 3)).read(range(start, start + 3)))
    assert len(shown) > 120


def test_a_video_that_was_left_open_is_closed_for_another(videos: dict[str, Path]) -> None:
    before, opened = open_files(), Opened()
    for name in ("h264_b.mp4", "mpeg4.avi", "h264_b.mp4"):
        source = VideoSource(videos[name])
        shown = [index_shown(frame) for _, frame in source.only(range(5)).read(range(5), opened=opened)]
        assert shown == [0, 1, 2, 3, 4]
        assert open_files() == before + 1
    opened.close()
    assert open_files() == before


def test_intra_coded_damage_costs_one_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "mjpeg.avi", "mjpeg", count=9, pix_fmt="yuvj420p")
    assert failed(VideoSource(damage_packet(path, tmp_path / "bad.avi", 4))) == [4]


@pytest.mark.parametrize("data", [b"", b"no video at all" * 100], ids=["empty", "garbage"])
def test_unreadable_video_is_a_frame_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    with pytest.raises(FrameError, match=r"clip\.mp4 cannot be read as a video"):
        open_source(path)


def test_video_without_pictures_is_a_frame_error(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(FrameError, match="no video stream"):
        open_source(path)


@pytest.mark.parametrize(("pix_fmt", "full_range"), [("yuv420p", False), ("yuv420p", True), ("gray", True)])
def test_grey_is_luma_on_the_full_range(tmp_path: Path, pix_fmt: str, full_range: bool) -> None:
    luma = np.arange(256, dtype=np.uint8).repeat(16).reshape(64, 64)
    path = tmp_path / "ramp.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.height, stream.width, stream.pix_fmt = 64, 64, pix_fmt
        picture = av.VideoFrame(64, 64, pix_fmt)
        for plane, values in zip(picture.planes, [luma, *[np.full((32, 32), 128, np.uint8)] * 2], strict=False):
            padded = np.zeros((plane.height, plane.line_size), np.uint8)
            padded[:, : plane.width] = values
            plane.update(padded.tobytes())
        stream.codec_context.color_range = picture.color_range = 2 if full_range else 1
        container.mux(stream.encode(picture))
        container.mux(stream.encode())
    source = VideoSource(path)
    expected = luma if full_range else np.clip(np.round((luma - 16.0) * 255 / 219), 0, 255)
    np.testing.assert_array_equal(next(source.read([0]))[1], expected)
    colour = next(source.read([0], colour=True))[1]
    assert colour.shape == (64, 64, 3)
    assert colour.dtype == np.uint8
    assert np.abs(colour.astype(int) - expected[..., None]).max() <= 1  # neutral chroma: R = G = B = grey


def test_colour_is_rgb(tmp_path: Path) -> None:
    path = tmp_path / "red.avi"
    red = np.full((32, 32, 3), (200, 30, 10), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "bgr24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(red, format="rgb24")))
        container.mux(stream.encode())
    source = VideoSource(path)
    np.testing.assert_array_equal(next(source.read([0], colour=True))[1], red)
    np.testing.assert_array_equal(np.unique(next(source.read([0]))[1]), [round(0.299 * 200 + 0.587 * 30 + 0.114 * 10)])


@pytest.mark.parametrize(
    ("cosine", "sine", "quarters"), [(0, 1, 3), (-1, 0, 2), (0, -1, 1)], ids=["right", "upside down", "left"]
)
def test_phone_video_is_turned_upright(
    videos: dict[str, Path], tmp_path: Path, cosine: int, sine: int, quarters: int
) -> None:
    path = tmp_path / "phone.mp4"
    write_display_matrix(videos["h264_b.mp4"], path, cosine, sine)
    source = VideoSource(path)
    upright = np.rot90(decode_all(videos["h264_b.mp4"])[7], quarters)
    np.testing.assert_array_equal(next(source.read([7]))[1], upright)
    assert source.size() == upright.shape


def test_slanted_video_is_a_frame_error(videos: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "slanted.mp4"
    write_display_matrix(videos["h264_b.mp4"], path, 0.7071, 0.7071)
    with pytest.raises(FrameError, match="turned by -45 degrees"):
        VideoSource(path).size()


@pytest.mark.parametrize(
    ("first_row", "shown"),
    [
        ((-1, 0), np.fliplr),
        ((1, 0), np.flipud),
        ((0, 1), np.transpose),
        ((0, -1), lambda image: np.rot90(image, 2).T),
    ],
    ids=["left and right", "top and bottom", "along the diagonal", "along the other diagonal"],
)
def test_a_mirrored_video_keeps_its_top_and_is_not_mirrored(
    videos: dict[str, Path],
    tmp_path: Path,
    first_row: tuple[int, int],
    shown: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> None:
    path = tmp_path / "mirrored.mp4"
    write_display_matrix(videos["h264_b.mp4"], path, *first_row, mirrored=True)
    upright = np.fliplr(shown(decode_all(videos["h264_b.mp4"])[7]))
    source = VideoSource(path)
    np.testing.assert_array_equal(next(source.read([7]))[1], upright)
    assert source.size() == upright.shape


def test_exif_beside_a_picture_is_no_hindrance(tmp_path: Path) -> None:
    """PyAV has no name for the kind, and refuses to list what stands beside the picture."""
    jpeg = cv2.imencode(".jpg", numbered_picture(5))[1].tobytes()
    path = tmp_path / "camera.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuvj420p"
        for place in range(3):
            packet = av.Packet(turned(jpeg, 1))
            packet.stream, packet.pts, packet.dts = stream, place, place
            container.mux(packet)
    assert [index_shown(frame) for frame in read_all(VideoSource(path)).values()] == [5, 5, 5]


def write_display_matrix(source: Path, target: Path, cosine: float, sine: float, *, mirrored: bool = False) -> None:
    """Copy an MP4 with the display matrix of its track header set to a rotation (clockwise), or to one of the picture
    upside down."""
    data = bytearray(source.read_bytes())
    at = data.index(b"tkhd") + 44
    a, b = round(cosine * 65536), round(sine * 65536)
    c, d = (b, -a) if mirrored else (-b, a)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    target.write_bytes(data)


def open_files() -> int:
    """How many files this process holds; 0 where the system does not tell."""
    folder = Path("/proc/self/fd")
    return sum(1 for _ in folder.iterdir()) if folder.exists() else 0


def test_source_holds_no_file_and_can_be_pickled(videos: dict[str, Path]) -> None:
    before = open_files()
    source = VideoSource(videos["h264_b.mp4"])
    frames = source.read([3, 50])
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    list(source.read([1, 2, 59]))
    assert open_files() == before
    again = pickle.loads(pickle.dumps(source))
    assert index_shown(next(again.read([42]))[1]) == 42


# --- real clips


def clip_path(name: str) -> Path:
    folder = os.environ.get("FLOWKIT_TEST_CLIPS")
    if not folder:
        pytest.skip("FLOWKIT_TEST_CLIPS names no folder of real clips")
    return Path(folder) / name


@pytest.mark.parametrize(
    ("name", "count", "fps", "variable"),
    [
        ("pexels_expressions.mp4", 472, 24000 / 1001, False),
        ("face_noface.mov", 169, 24.0, True),  # 94 intervals of 1/24 s, 72 of 1/30 s; the header says 26.4
        ("no_face.mp4", 95, 24.0, False),  # the header says 23.67
    ],
)
def test_real_clip_is_read_exactly(name: str, count: int, fps: float, variable: bool) -> None:
    path = clip_path(name)
    expected = decode_all(path)
    source = VideoSource(path)
    assert len(expected) == len(source.numbers()) == source.last + 1 == count
    assert (source.fps, source.variable) == (pytest.approx(fps, abs=1e-9), variable)
    for number, frame in source.read(source.numbers()):
        np.testing.assert_array_equal(frame, expected[number])
    for number in np.random.default_rng(0).integers(0, count, 20).tolist():
        np.testing.assert_array_equal(next(source.read([number]))[1], expected[number])
