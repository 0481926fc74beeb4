"""What stands for clips: a manifest, a video, a folder of frames, a folder of those."""

import math
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from flowkit.datasets import clips_from, manifest_fingerprint, read_manifest
from flowkit.errors import InputError
from flowkit.frames.survey import survey
from flowkit.output.store import place
from flowkit.types import Clip
from tests.bucket import NAME


def make_frames(folder: Path, numbers=(1, 2), name="img{}.jpg") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        assert cv2.imwrite(str(folder / name.format(number)), np.full((8, 8), number % 256, np.uint8))
    return folder


def write_text(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_one_video_and_one_folder_of_frames(tmp_path):
    video = tmp_path / "Smile.01.MP4"
    video.touch()
    assert clips_from(video) == [Clip(clip_id="Smile.01.MP4", source=str(video))]
    assert clips_from(video, frame_base=1) == [Clip(clip_id="Smile.01.MP4", source=str(video), frame_base=1)]

    for name in ("reg_img{}.PNG", "{}.jpg"):
        frames = make_frames(tmp_path / name[:3], numbers=(7, 9), name=name)
        (frames / "notes").mkdir()
        (frames / "notes" / "read.txt").touch()
        assert clips_from(frames) == [Clip(clip_id=name[:3], source=str(frames))]


def test_folder_of_clips_in_natural_order_with_paths_as_ids(tmp_path):
    for name in ("s10/EP01", "s2/EP01", ".cache/EP01"):
        make_frames(tmp_path / name)
    for name in ("s2/talk.avi", "s2/talk.mov", "s2/notes.txt", "b.mp4", "s2/.hidden.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "s2" / "round").symlink_to(tmp_path)
    cv2.imwrite(str(tmp_path / "cover.jpg"), np.zeros((8, 8), np.uint8))
    clips = clips_from(tmp_path, frame_base=1)
    assert [(clip.clip_id, clip.frame_base) for clip in clips] == [
        ("b.mp4", 1),
        ("s2/EP01", 0),
        ("s2/talk.avi", 1),
        ("s2/talk.mov", 1),
        ("s10/EP01", 0),
    ]
    assert [clip.source for clip in clips] == [str(tmp_path / clip.clip_id) for clip in clips]


def test_links_that_cannot_be_followed_stop_no_other_clips(tmp_path):
    make_frames(tmp_path / "good")
    (tmp_path / "gone").mkdir()
    (tmp_path / "posters" / "clip").mkdir(parents=True)
    (tmp_path / "posters" / "clip" / "talk.mp4").touch()
    for name in ("good/img3.jpg", "gone/img1.jpg", "posters/img1.jpg", "notes", "sub", "round.mp4"):
        (tmp_path / name).symlink_to(Path(name).name)
    for name in ("dead.mp4", "readme.txt"):
        (tmp_path / name).symlink_to("absent")
    clips = clips_from(tmp_path)
    assert [clip.clip_id for clip in clips] == ["dead.mp4", "gone", "good", "posters/clip/talk.mp4", "round.mp4"]
    surveys = survey(clips)
    assert surveys["good"].error is None
    for name, told in [("dead.mp4", "leads nowhere"), ("round.mp4", "leads nowhere"), ("gone", "no image named")]:
        assert told in surveys[name].error


def test_sources_that_stand_for_no_clips_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").touch()
    mixed = make_frames(tmp_path / "mixed")
    (mixed / "talk.mp4").touch()
    make_frames(tmp_path / "s" / "sub01" / "EP1")
    make_frames(tmp_path / "s" / "sub02" / "day1" / "EP2")
    make_frames(tmp_path / "s" / "sub02", name="consent_page{}.png")
    for name, told in [
        ("empty", "holds neither videos nor numbered"),
        ("a.txt", "is no manifest"),
        ("absent.mp4", "does not exist"),
        ("mixed", r"numbered images \(img1.jpg\) and another clip \(talk.mp4\); put them into folders of their own"),
        ("s", r"s/sub02' holds numbered images \(consent_page1.png\) and another clip \(day1/EP2\)"),
    ]:
        with pytest.raises(InputError, match=told):
            clips_from(tmp_path / name)


def test_clips_below_numbered_images_are_refused_in_a_store_too(bucket):
    folder = bucket.folder("strays")
    make_frames(folder / "sub01" / "EP1")
    assert [clip.clip_id for clip in clips_from(place(f"s3://{NAME}/strays"))] == ["sub01/EP1"]
    make_frames(folder / "sub01", name="consent_page{}.png")
    told = r"strays/sub01' holds numbered images \(consent_page1.png\) and another clip \(EP1\); put them into"
    with pytest.raises(InputError, match=told):
        clips_from(place(f"s3://{NAME}/strays"))


def test_a_video_has_one_name_alone_and_in_its_folder(tmp_path):
    (tmp_path / "talk.mp4").touch()
    assert clips_from(tmp_path / "talk.mp4") == clips_from(tmp_path)


def test_clips_made_in_python_have_plain_numbers(tmp_path):
    given = Clip(clip_id="a", source="a", onset=np.int64(1), frame_base=np.uint8(0), fps=np.float32(25))
    (clip,) = clips_from([given])
    assert clips_from([Clip(clip_id="a", source=Path("a"))]) == [Clip(clip_id="a", source="a")]
    assert [type(value) for value in (clip.onset, clip.frame_base, clip.fps)] == [int, int, float]
    assert manifest_fingerprint([clip]) == manifest_fingerprint([Clip(clip_id="a", source="a", onset=1, fps=25.0)])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("a.mp4", r"clip 0 is 'a\.mp4'; give one path, or clips as flowkit\.Clip"),
        (Clip(clip_id=5, source="a"), "clip_id=5 is no text"),
        (Clip(clip_id="a", source=None), "clip 'a': source=None is no text; give it as one"),
        (Clip(clip_id="a", source="a", subject=7), "clip 'a': subject=7 is no text; give it as one"),
        (Clip(clip_id="a", source="a", au=float("nan")), "clip 'a': au=nan is no text; give it as one"),
        (Clip(clip_id="a\nb", source="a"), r"has the character U\+000A; leave it out"),
        (Clip(clip_id="a", source="a", onset=1.5), "clip 'a': onset=1.5: give a whole number"),
        (Clip(clip_id="a", source="a", fps=math.nan), "clip 'a': fps=nan must be a number above 0"),
        (Clip(clip_id="a", source="a", fps="25"), "clip 'a': fps='25' must be a number above 0"),
    ],
)
def test_clips_that_no_manifest_could_have_are_refused(given, told):
    with pytest.raises(InputError, match=told):
        clips_from([given])


def test_a_frame_base_beside_clips_or_a_manifest_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"frame_base=5: clips have their own; set it in each Clip"):
        clips_from([Clip(clip_id="a", source="a")], frame_base=5)
    (tmp_path / "m.csv").write_text("clip_id,source\na,a\n")
    with pytest.raises(InputError, match=r"frame_base=1: m\.csv is a manifest; set it in its column frame_base"):
        clips_from(tmp_path / "m.csv", frame_base=1)
    with pytest.raises(InputError, match=r"frame_base=1\.5: give a whole number"):
        clips_from(tmp_path, frame_base=1.5)


def test_a_frame_base_without_a_video_is_refused(tmp_path):
    make_frames(tmp_path / "all" / "clip")
    for folder in (tmp_path / "all", tmp_path / "all" / "clip"):
        with pytest.raises(InputError, match=r"frame_base=1: .* has no video, and frames carry their own numbers"):
            clips_from(folder, frame_base=1)
    (tmp_path / "all" / "talk.mp4").touch()
    assert [clip.frame_base for clip in clips_from(tmp_path / "all", frame_base=1)] == [0, 1]
    with pytest.raises(InputError, match="frame_base=-1 must be 0 or above"):
        clips_from(tmp_path / "all", frame_base=-1)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (b"a\nb.mp4", "U+000A"),
        (b"a\xff.mp4", "U+DCFF"),
    ],
)
def test_names_that_are_no_text_are_refused(tmp_path, name, told):
    (tmp_path / os.fsdecode(name)).touch()
    with pytest.raises(InputError, match=f"has the character {re.escape(told)}; leave it out"):
        clips_from(tmp_path)


def test_paths_that_no_file_can_have_are_refused(tmp_path):
    for name, told in [("a" * 300, "File name too long"), ("a\0b", "NUL character")]:
        with pytest.raises(InputError, match=told):
            clips_from(tmp_path / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to become another user")
def test_a_folder_that_may_not_be_read_is_refused(tmp_path):
    make_frames(tmp_path / "clip")
    tmp_path.chmod(0o700)
    os.seteuid(65534)
    try:
        with pytest.raises(InputError, match=r"clip' cannot be read: Permission denied"):
            clips_from(tmp_path / "clip")
    finally:
        os.seteuid(0)


def test_manifest_stands_for_its_rows_and_says_its_own_frame_base(tmp_path):
    make_frames(tmp_path / "f")
    path = write_text(tmp_path / "m.csv", "clip_id,source\na,f\n")
    assert clips_from(path) == read_manifest(path)
    with pytest.raises(InputError, match="frame_base=1"):
        clips_from(path, frame_base=1)


def test_a_folder_that_cannot_be_searched_is_a_clip_that_fails(tmp_path, monkeypatch):
    make_frames(tmp_path / "a")
    make_frames(tmp_path / "b")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("flowkit.datasets.sources.os.scandir", refuse)
    assert [clip.clip_id for clip in clips_from(tmp_path)] == ["a", "b"]
    with pytest.raises(InputError, match="cannot be read"):
        clips_from(tmp_path / "b")
