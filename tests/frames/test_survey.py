"""The survey: what is recorded of a source, when its identity changes; a stretch of it reads as the whole does."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import pickle
import shutil
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

import flowkit
from flowkit.errors import FrameError
from flowkit.frames import FolderSource, FrameSource, VideoSource, open_source
from flowkit.frames.survey import survey, survey_source
from flowkit.frames.video_index import decode
from flowkit.types import Clip
from tests.clips import frame_folder, texture, video
from tests.videos import ENCODED, damage_packet, write_video

DAMAGES = [("h264_b.mp4", 0), ("h264_b.mp4", 13), ("open_groups.mp4", 17), ("open_groups.mp4", 36), ("mpeg4.avi", 20)]


def identity(path: Path) -> str:
    return open_source(path).identity()


def assert_reads_as_the_whole(source: FrameSource, numbers: list[int], *, colour: bool = False) -> None:
    """`source.only(numbers)`, sent to another process, gives what the source itself gives, errors too."""
    part = pickle.loads(pickle.dumps(source.only(numbers)))
    expected, got = source.read(numbers, colour=colour), part.read(numbers, colour=colour)
    for (number, frame), (again, same) in zip(expected, got, strict=True):
        assert again == number
        if isinstance(frame, FrameError):
            assert isinstance(same, FrameError), f"frame {number} of {numbers} is damaged: {frame}"
            assert str(same) == str(frame)
        else:
            assert not isinstance(same, FrameError), same
            np.testing.assert_array_equal(same, frame, err_msg=f"frame {number} of {numbers}")


def subsets(rng: np.random.Generator, count: int, of: int) -> list[list[int]]:
    """Random choices from `of` numbers: neighbours as a part has them, and some that are far apart."""
    chosen = []
    for _ in range(count):
        start, length = rng.integers(of), rng.integers(1, 10)
        chosen.append(list(range(start, min(start + length, of))))
        chosen.append(sorted(rng.choice(of, rng.integers(1, 8), replace=False).tolist()))
    return chosen


# ---- the record


def test_the_record_of_a_folder(tmp_path):
    found = survey_source(frame_folder(tmp_path / "a", [3, 5, 9], size=(40, 56)), frame_base=7)
    source = found.opened()
    assert (list(source.numbers()), source.first, source.last, source.fps) == ([3, 5, 9], 3, 9, None)
    assert (found.frame_size, found.error) == ((40, 56), None)
    assert found.identity == source.identity()
    assert "simplejpeg" in source.decoder


def test_the_record_of_a_video(tmp_path):
    found = survey_source(video(tmp_path / "a.mp4", 12, size=(48, 64)), frame_base=1)
    source = found.opened()
    assert (list(source.numbers()), source.first, source.last, source.fps) == (list(range(1, 13)), 1, 12, 25.0)
    assert (found.frame_size, found.error) == ((48, 64), None)
    assert "mpeg4" in source.decoder


def test_a_first_frame_that_is_damaged_leaves_the_size_to_the_next(tmp_path):
    folder = frame_folder(tmp_path / "a", range(4), size=(40, 56))
    (folder / "img0.png").write_bytes(b"no image")
    found = survey_source(folder)
    assert (found.frame_size, found.error) == ((40, 56), None)


def test_a_missing_source_is_recorded_and_cannot_be_opened(tmp_path):
    found = survey_source(tmp_path / "gone")
    assert (found.source, found.frame_size, found.identity) == (None, None, "")
    assert f"{tmp_path / 'gone'} does not exist" in str(found.error)
    with pytest.raises(FrameError, match="gone does not exist"):
        found.opened()


def test_unreadable_sources_are_recorded(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video" * 100)
    found = survey_source(tmp_path / "a.mp4")
    assert (found.source, found.identity) == (None, "")
    assert "a.mp4 cannot be read as a video" in str(found.error)
    folder = frame_folder(tmp_path / "b", range(3))
    for path in folder.iterdir():
        path.write_bytes(b"no image")
    found = survey_source(folder)
    assert list(found.opened().numbers()) == [0, 1, 2]
    assert (found.frame_size, found.identity) == (None, identity(folder))
    assert "cannot be decoded" in str(found.error)


def test_clips_of_one_source_share_one_survey_which_can_be_sent(tmp_path, monkeypatch):
    folder, film = frame_folder(tmp_path / "a", range(3)), video(tmp_path / "b.mp4", 5)
    places = [(folder, 0), (film, 0), (folder, 0), (film, 1), (film, 0), (tmp_path / "c", 0)]
    opened = []

    def counted(path, frame_base=0):
        opened.append((str(path), frame_base))
        return open_source(path, frame_base=frame_base)

    monkeypatch.setattr("flowkit.frames.survey.open_source", counted)
    found = survey(
        Clip(clip_id=f"{number}", source=str(path), frame_base=base) for number, (path, base) in enumerate(places, 1)
    )
    assert list(found) == list("123456")
    assert opened == [(str(folder), 0), (str(film), 0), (str(film), 1), (str(tmp_path / "c"), 0)]
    assert found["1"] is found["3"]
    assert found["2"] is found["5"]
    assert (found["2"].opened().first, found["4"].opened().first) == (0, 1)
    again = pickle.loads(pickle.dumps(found["2"]))
    assert (again.identity, again.frame_size) == (found["2"].identity, found["2"].frame_size)
    assert_reads_as_the_whole(again.source, [1, 3])


# ---- the identity


@pytest.fixture(params=[".png", ".jpg"])
def frames(request, tmp_path) -> Path:
    """Eight frames, of which 1, 2 and 4 are neither the first, the middle nor the last."""
    return frame_folder(tmp_path / "frames", range(8), suffix=request.param)


def test_a_frame_cropped_anew_in_its_place_is_another(frames):
    before = identity(frames)
    (path,) = frames.glob("img2.*")
    assert cv2.imwrite(str(path), texture(2, (68, 68))[2:66, 2:66])
    assert identity(frames) != before


@pytest.mark.parametrize("number", [0, 4, 7])
def test_content_of_the_same_size_is_noticed_in_the_first_the_middle_and_the_last(tmp_path, number):
    folder = frame_folder(tmp_path / "a", range(8), suffix=".bmp")
    before = identity(folder)
    path = folder / f"img{number}.bmp"
    size = path.stat().st_size
    assert cv2.imwrite(str(path), texture(number, seed=1))
    assert path.stat().st_size == size
    assert identity(folder) != before


def test_a_frame_that_is_added_removed_or_renamed_makes_others(frames):
    first = frames / f"img1{next(frames.iterdir()).suffix}"
    seen = [identity(frames)]
    shutil.copy(first, first.with_stem("img8"))
    seen.append(identity(frames))
    first.with_stem("img8").rename(first.with_stem("img9"))
    seen.append(identity(frames))
    first.with_stem("img9").unlink()
    assert identity(frames) == seen[0]
    first.unlink()
    seen.append(identity(frames))
    assert len(set(seen)) == 4


def test_the_identity_of_a_folder_is_that_of_names_sizes_and_three_contents(frames):
    """Outputs that older versions have begun are continued by it."""
    paths = sorted(frames.iterdir())
    digest = hashlib.sha256("".join(f"{path.name}\0{path.stat().st_size}\0" for path in paths).encode())
    for number in (0, 4, 7):
        digest.update(paths[number].read_bytes())
    assert identity(frames) == digest.hexdigest()


def test_links_that_lead_nowhere_leave_the_identity(frames):
    before = survey_source(frames)
    (frames / ".#notes").symlink_to("gone")
    (frames / "img8.png").symlink_to("gone")
    (frames / "img9.png").symlink_to("img9.png")
    found = survey_source(frames)
    assert (found.error, found.identity) == (None, before.identity)
    assert list(found.opened().numbers()) == list(range(8))


@pytest.mark.parametrize("number", [0, 4, 7])
def test_a_frame_that_cannot_be_read_costs_itself_only(frames, number, monkeypatch):
    before, read_bytes = identity(frames), Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.stem == f"img{number}":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    found = survey_source(frames)
    assert (found.error, found.frame_size) == (None, (64, 64))
    assert found.identity not in ("", before)
    errors = {i: str(frame) for i, frame in found.opened().read(range(8)) if isinstance(frame, FrameError)}
    assert list(errors) == [number]
    assert "Permission denied" in errors[number]


@pytest.mark.parametrize("damage", ["a link to nowhere", "a folder", "gone since it was listed"])
def test_a_lost_frame_costs_its_own_pairs_only(frames, tmp_path, damage, monkeypatch):
    (path,) = frames.glob("img4.*")
    listed = [entry.name for entry in frames.iterdir()]
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage == "gone since it was listed":
        monkeypatch.setattr("flowkit.frames.folder._names", lambda _: listed)
    else:
        path.symlink_to("gone")
    assert (survey_source(frames).error, len(identity(frames))) == (None, 64)
    summary = flowkit.extract(frames, tmp_path / "out", pairs="lag:1", preset="fast", workers=1)
    assert (summary.planned, summary.computed) == (7, 5)
    assert [row["frame1"] for row in flowkit.read(tmp_path / "out").failures().to_pylist()] == [4, 5]


def test_a_video_replaced_by_another_of_as_many_frames_is_another(tmp_path):
    path = video(tmp_path / "a.mp4", 20)
    before, source = identity(path), open_source(path)
    write_video(tmp_path / "other.mp4", "mpeg4", count=20, rate=25)
    (tmp_path / "other.mp4").replace(path)
    other = open_source(path)
    assert list(other.numbers()) == list(source.numbers())
    assert other.identity() != before


def test_a_change_at_either_end_or_in_the_middle_of_a_long_video_is_noticed(tmp_path):
    path = write_video(tmp_path / "a.avi", "rawvideo")
    data, before = path.read_bytes(), VideoSource(path).identity()
    source = VideoSource(path)
    assert len(data) > 4 * 65536
    for place in (0, 65535, len(data) // 2, len(data) - 1):
        changed = bytearray(data)
        changed[place] ^= 1
        path.write_bytes(changed)
        assert source.identity() != before, place
    path.write_bytes(data)
    assert source.identity() == before


def test_a_copy_a_move_and_a_touch_leave_the_identity(frames, tmp_path):
    film = video(tmp_path / "a.mp4", 9)
    before = identity(frames), identity(film)
    os.utime(film, (1, 1))
    for path in frames.iterdir():
        os.utime(path, (1, 1))
    (frames / "notes.txt").write_text("no frame")
    assert (identity(frames), identity(film)) == before
    copied = shutil.copytree(frames, tmp_path / "elsewhere" / "copied"), shutil.copy(film, tmp_path / "b.mp4")
    assert tuple(map(identity, map(Path, copied))) == before
    assert (identity(frames.rename(tmp_path / "moved")), identity(film.rename(tmp_path / "c.mp4"))) == before


# ---- a stretch


def test_a_stretch_of_a_long_video_is_small(tmp_path):
    source = VideoSource(write_video(tmp_path / "a.mp4", "libx264", {"g": "12", "preset": "ultrafast"}, count=2000))
    numbers = [1000, 1001, 1002, 1005]
    assert len(pickle.dumps(source)) > 40_000
    assert len(pickle.dumps(source.only(numbers))) < 8_000
    assert_reads_as_the_whole(source, numbers)


def test_all_stretches_of_a_video_with_one_keyframe_take_no_memory_of_their_own(videos):
    """Each goes back to the keyframe: 20,000 frames in parts of 128 would be 38 MB."""
    index, frames = VideoSource(videos["h264_b.mp4"])._index, np.arange(20_000)
    arrays = {"stamps": 40 * frames, "ranks": frames, "horizon": frames}
    index = dataclasses.replace(index, frames=len(frames), keys=index.keys[:1], **arrays)
    tracemalloc.start()
    stretches = [index.around(range(start, start + 128)) for start in range(0, 20_000, 128)]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [stretch.end for stretch in stretches] == [*range(128, 20_000, 128), 20_000]
    assert held < 500_000


def test_a_stretch_of_a_folder_is_its_frames(tmp_path):
    folder = frame_folder(tmp_path / "a", [*range(10), *range(12, 500)], size=(8, 8))
    source = FolderSource(folder)
    part = source.only([9, 10, 12, 900])
    assert list(part.numbers()) == [9, 12]
    assert len(pickle.dumps(part)) < 1000 < len(pickle.dumps(source))
    assert_reads_as_the_whole(source, [9, 10, 12, 900])
    for numbers in subsets(np.random.default_rng(0), 10, 500):
        assert_reads_as_the_whole(source, numbers)


@pytest.mark.parametrize("name", ENCODED)
def test_a_stretch_of_a_video_reads_as_the_whole(videos, name, rng):
    source = VideoSource(videos[name], frame_base=int(rng.integers(2)))
    for numbers in subsets(rng, 12, 62):  # the last may be behind the end
        assert_reads_as_the_whole(source, numbers, colour=bool(rng.integers(2)))


@pytest.mark.parametrize(("name", "packet"), DAMAGES)
def test_a_stretch_of_a_damaged_video_reads_as_the_whole(videos, tmp_path, name, packet, rng):
    source = VideoSource(damage_packet(videos[name], tmp_path / name, packet))
    for numbers in subsets(rng, 20, 60):
        assert_reads_as_the_whole(source, numbers)


def test_a_stretch_of_a_video_without_usable_stamps_reads_as_the_whole(tmp_path, rng):
    path = write_video(tmp_path / "fast.mkv", "libx264", {"g": "12", "bf": "0"}, rate=2000)
    for numbers in subsets(rng, 6, 60):
        assert_reads_as_the_whole(VideoSource(path), numbers)


def test_a_stretch_of_a_stretch_reads_as_the_whole(videos, rng):
    source = VideoSource(videos["open_groups.mp4"])
    for numbers in subsets(rng, 6, 60):
        narrower = source.only([*numbers, *rng.integers(60, size=3).tolist()]).only(numbers)
        for (_, frame), (_, same) in zip(source.read(numbers), narrower.read(numbers), strict=True):
            np.testing.assert_array_equal(same, frame)


def test_a_stretch_that_ends_in_damage_is_not_read_to_the_end_of_the_file(tmp_path, monkeypatch):
    path = write_video(tmp_path / "whole.mp4", "mpeg4", {"g": "12"}, count=200)
    source = VideoSource(damage_packet(path, tmp_path / "a.mp4", 40))
    counts = []

    def counted(*arguments):
        for item in decode(*arguments):
            counts.append(item[0])
            yield item

    monkeypatch.setattr("flowkit.frames.video.decode", counted)
    for numbers in ([38, 40], [39, 40, 41, 46, 47]):
        counts.clear()
        frames = dict(source.only(numbers).read(numbers))
        assert [isinstance(frame, FrameError) for frame in frames.values()] == [number >= 40 for number in numbers]
        assert len(counts) < 20


def test_trouble_that_nobody_foresaw_is_one_clips(tmp_path, monkeypatch):
    frame_folder(tmp_path / "good", range(2))
    frame_folder(tmp_path / "bad", range(2))
    real = FolderSource.identity

    def identity(self):
        if self.folder.name == "bad":
            raise RuntimeError("out of luck")
        return real(self)

    monkeypatch.setattr(FolderSource, "identity", identity)
    clips = [Clip(clip_id=name, source=str(tmp_path / name)) for name in ("good", "bad")]
    found = survey(clips)
    assert found["good"].error is None
    assert "bad cannot be read, unexpectedly (RuntimeError: out of luck)" in str(found["bad"].error)
