"""Local copies of videos in an object store."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from flowkit.errors import FrameError, InputError
from flowkit.frames import FolderSource, open_source
from flowkit.frames.fetch import fetched
from flowkit.output.store import place
from tests.bucket import NAME
from tests.clips import frame_folder, video


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FLOWKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def copies(cache: Path) -> list[int]:
    return sorted(path.stat().st_size for path in cache.iterdir() if not path.name.startswith("."))


def test_a_copy_is_made_once_and_anew_when_the_video_changes(bucket, cache):
    blob = bucket.folder("clip.mp4")
    blob.write_bytes(b"one")
    with fetched(place(f"s3://{NAME}/clip.mp4")) as first:
        made = first.stat().st_ino
        assert (first.read_bytes(), first.suffix) == (b"one", ".mp4")
    with fetched(place(f"s3://{NAME}/clip.mp4")) as again:
        assert again.stat().st_ino == made
    blob.write_bytes(b"two")
    with fetched(place(f"s3://{NAME}/clip.mp4")) as other:
        assert other.read_bytes() == b"two"
    with pytest.raises(FileNotFoundError), fetched(place(f"s3://{NAME}/none.mp4")):
        pass
    here = Path(__file__)
    with fetched(here) as same:
        assert same is here


def test_copies_take_no_more_room_than_they_may(bucket, cache, monkeypatch):
    monkeypatch.setenv("FLOWKIT_CACHE_GB", str(25e-9))
    for i in range(4):
        bucket.folder(f"{i}.mp4").write_bytes(b"x" * (10 + i))
    with fetched(place(f"s3://{NAME}/0.mp4")) as held:
        for i in (1, 2):
            with fetched(place(f"s3://{NAME}/{i}.mp4")) as path:
                os.utime(path, (time.time() + i,) * 2)
        assert copies(cache) == [10, 12]  # the first is being read, though it is the oldest
        assert held.exists()
    os.utime(held, (1, 1))
    with fetched(place(f"s3://{NAME}/3.mp4")):
        assert copies(cache) == [12, 13]
    monkeypatch.setenv("FLOWKIT_CACHE_GB", "much")
    with pytest.raises(InputError, match="FLOWKIT_CACHE_GB='much' is no number"), fetched(place(f"s3://{NAME}/0.mp4")):
        pass


def _read(url: str) -> bytes:
    with fetched(place(url)) as path:
        return path.read_bytes()


def test_processes_that_want_one_video_fetch_it_once(bucket, cache):
    bucket.folder("shared.mp4").write_bytes(b"video" * 10**6)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        found = pool.map(_read, [f"s3://{NAME}/shared.mp4"] * 6, chunksize=1)
    assert all(content == b"video" * 10**6 for content in found)
    assert copies(cache) == [5 * 10**6]


def test_frames_of_a_store_are_those_of_the_disk(bucket, cache):
    folder = frame_folder(bucket.folder("frames"), range(1, 60), size=(16, 16), suffix=".jpg")
    (folder / "img7.jpg").write_bytes(b"no image")
    clip = video(bucket.folder("talk.mp4"), 6)
    for here, there in ((folder, f"s3://{NAME}/frames"), (clip, f"s3://{NAME}/talk.mp4")):
        ours, theirs = open_source(here), open_source(there)
        assert ours.identity() == theirs.identity()
        assert ours.size() == theirs.size()
        assert list(ours.numbers()) == list(theirs.numbers())
        for (i, a), (j, b) in zip(ours.read(ours.numbers()), theirs.read(theirs.numbers()), strict=True):
            assert i == j
            assert isinstance(a, FrameError) == isinstance(b, FrameError)
            assert isinstance(a, FrameError) or (a == b).all()
    assert isinstance(open_source(f"s3://{NAME}/frames"), FolderSource)
    with pytest.raises(InputError, match=r"has no image named by number .* or does not exist"):
        open_source(f"s3://{NAME}/nothing")
    with pytest.raises(InputError, match=r"none\.mp4 does not exist"):
        open_source(f"s3://{NAME}/none.mp4")
