"""The command hash writes what proves frames, and extract proves them."""

import hashlib
import os

import pytest

from flowkit.datasets import read_manifest
from flowkit.frames import digest
from flowkit.frames.fetch import file_sha256
from flowkit.output.shard import read
from tests.clips import dataset, frame_folder, video


def test_a_frame_that_was_changed_fails_its_clip(flowkit, tmp_path):
    clips = dataset(tmp_path, clips=3)
    code, stdout, stderr = flowkit("hash", tmp_path / "manifest.csv", "-o", tmp_path / "hashed.csv")
    assert (code, stdout, stderr) == (0, f"3 clips -> {tmp_path / 'hashed.csv'}\n", "")
    # One byte of a frame in the middle, the size kept: what no identity of the survey would notice.
    frame = tmp_path / "sub02" / "img3.png"
    data = bytearray(frame.read_bytes())
    data[-30] ^= 1
    frame.write_bytes(data)
    code, _, _ = flowkit("extract", tmp_path / "hashed.csv", "-o", tmp_path / "out")
    assert code == 1
    (failure,) = read(tmp_path / "out").failures().to_pylist()
    assert failure["clip_id"] == clips[1].clip_id
    assert "bring back the frames it was made from, or have flowkit hash write it anew" in failure["error"]
    data[-30] ^= 1
    frame.write_bytes(data)
    assert flowkit("extract", tmp_path / "hashed.csv", "-o", tmp_path / "out", "--retry-failed")[0] == 0


def test_the_hash_is_what_sha256sum_gives(flowkit, tmp_path):
    folder = frame_folder(tmp_path / "all" / "clip", (2, 10, 1))
    (folder / "notes.txt").write_text("not a frame")
    clip = video(tmp_path / "all" / "talk.mp4", 3)
    assert flowkit("hash", tmp_path / "all", "-o", tmp_path / "m.parquet")[0] == 0
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in NAMES]
    assert [clip.frames_sha256 for clip in read_manifest(tmp_path / "m.parquet")] == [
        hashlib.sha256("".join(lines).encode()).hexdigest(),
        hashlib.sha256(clip.read_bytes()).hexdigest(),
    ]


def test_the_bytes_of_clips_of_one_video_are_read_once(flowkit, tmp_path, monkeypatch):
    clip = video(tmp_path / "talk.mp4", 9)
    (tmp_path / "m.csv").write_text(
        "clip_id,source,onset,offset\n" + "".join(f"c{i},talk.mp4,{i},8\n" for i in range(5))
    )
    read = []
    monkeypatch.setattr(digest, "file_sha256", lambda path: read.append(path) or file_sha256(path))
    assert flowkit("hash", tmp_path / "m.csv", "-o", tmp_path / "hashed.csv")[0] == 0
    assert len(read) == 1
    hashes = {one.frames_sha256 for one in read_manifest(tmp_path / "hashed.csv")}
    assert hashes == {hashlib.sha256(clip.read_bytes()).hexdigest()}


NAMES = ("img1.png", "img2.png", "img10.png")


@pytest.mark.parametrize("change", ["rename", "add", "lose"])
def test_frames_that_come_or_go_change_the_hash(flowkit, tmp_path, change):
    folder = frame_folder(tmp_path / "clip", range(4))

    def digest() -> str | None:
        assert flowkit("hash", folder, "-o", tmp_path / "m.csv")[0] == 0
        return read_manifest(tmp_path / "m.csv")[0].frames_sha256

    before = digest()
    if change == "rename":
        (folder / "img3.png").rename(folder / "img4.png")
    elif change == "add":
        frame_folder(folder, [4])
    else:
        (folder / "img0.png").unlink()
    assert digest() != before


def test_a_source_that_is_not_there_is_named(flowkit, tmp_path):
    clips = dataset(tmp_path, clips=2)
    (tmp_path / "sub01").rename(tmp_path / "gone")
    code, _, stderr = flowkit("hash", tmp_path / "manifest.csv", "-o", tmp_path / "hashed.csv")
    assert code == 2
    assert stderr.startswith(f"flowkit: {clips[0].clip_id}: ")
    assert not (tmp_path / "hashed.csv").exists()


def test_a_pipe_is_not_waited_for(flowkit, tmp_path):
    os.mkfifo(tmp_path / "talk.mp4")
    code, _, stderr = flowkit("hash", tmp_path / "talk.mp4", "-o", tmp_path / "m.csv")
    assert code == 2
    assert "is neither a folder of numbered frames nor a video; correct the source" in stderr
