"""What a part is computed between: frames decoded once, phases averaged, and the memory that this takes."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

import flowkit
from flowkit.extraction.decode import FrameStore, decode_part
from flowkit.extraction.part import Job, PartRunner, run_part
from flowkit.extraction.request import ExtractRequest
from flowkit.extraction.run import extract
from flowkit.frames.folder import FolderSource
from flowkit.frames.video import VideoSource
from flowkit.motion.quality import quality
from flowkit.output.plan_file import read_plan
from flowkit.output.quality import NAMES
from flowkit.output.shard import as_numpy, read
from flowkit.output.verify import verify
from flowkit.types import Clip
from tests.clips import dataset, frame_folder, parts_of, texture, video

SMALL = (24, 24)


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    """The numbers of the frames that are decoded, of folders and of videos."""
    numbers: list[int] = []
    folder, picture = FolderSource._decode, VideoSource._picture

    def decode(self, number, *, colour):
        numbers.append(number)
        return folder(self, number, colour=colour)

    def show(self, pictures, number):
        numbers.append(number)
        return picture(self, pictures, number)

    monkeypatch.setattr(FolderSource, "_decode", decode)
    monkeypatch.setattr(VideoSource, "_picture", show)
    return numbers


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[str, Clip]:
    """300 frames as a folder and as a video: three parts of a lag."""
    root = tmp_path_factory.mktemp("clips")
    sources = {"folder": frame_folder(root / "f", range(300), size=SMALL), "video": video(root / "v.mp4", 300, SMALL)}
    return {name: Clip(clip_id=name, source=str(path), onset=5, apex=40, offset=250) for name, path in sources.items()}


@pytest.mark.parametrize("kind", ["folder", "video"])
@pytest.mark.parametrize("plan", ["lag:1", "onset:mid16", "mdmd:12", "lag:100:2+2", "onset-all"])
def test_each_frame_of_a_clip_is_decoded_once(clips, kind, plan, decoded, tmp_path):
    request = ExtractRequest.parse(pairs=plan, preset="fast")
    parts = parts_of([clips[kind]], request)
    assert len(parts) == {"lag:1": 2, "onset:mid16": 1, "mdmd:12": 4, "lag:100:2+2": 2, "onset-all": 2}[plan]
    decoded.clear()
    store = FrameStore()
    for part in parts:
        assert None is not decode_part(part, request, store)
    distinct = {number for part in parts for pair in part.pairs for number in pair.needed}
    assert sorted(decoded) == sorted(distinct)


def test_a_worker_keeps_frames_from_part_to_part(clips, decoded, tmp_path):
    request = ExtractRequest.parse(pairs="lag:1", preset="fast")
    parts = parts_of([clips["folder"]], request)
    (tmp_path / "shards").mkdir()
    (tmp_path / "commits").mkdir()
    runner = PartRunner(Job(tmp_path, request, request.metadata([clips["folder"]])))
    decoded.clear()
    assert sum(runner(part).computed for part in parts) == 245
    assert sorted(decoded) == list(range(5, 251))


def test_a_store_keeps_what_was_asked_for_last_and_no_more_than_its_bytes():
    store = FrameStore(most_bytes=300)
    frames = [np.full(100, number, np.uint8) for number in range(5)]
    for number in range(3):
        store.put(("a", number), frames[number])
    assert store.get(("a", 0))[0] is frames[0]
    store.put(("a", 3), frames[3])
    assert [store.get(("a", number)) is not None for number in range(4)] == [True, False, True, True]
    store.put(("b", 0), np.zeros(301, np.uint8))
    assert store.get(("b", 0)) is None
    for _ in range(10):
        store.put(("a", 3), frames[3])
    assert store.get(("a", 0))[0] is frames[0]


def test_a_frame_whose_landmarks_were_found_takes_the_place_of_the_same_without():
    store = FrameStore(most_bytes=300)
    frame, points = np.zeros(100, np.uint8), np.ones((2, 2))
    store.put(("a", 1), frame)
    store.put(("a", 1), frame, points)
    store.put(("a", 1), frame)
    assert store.get(("a", 1))[1] is points
    store.put(("a", 2), np.ones(200, np.uint8))
    assert store.get(("a", 1)) is not None


def test_parts_have_the_same_rows_with_a_store(clips):
    request = ExtractRequest.parse(pairs="lag:120:2+2", preset="fast")
    store = FrameStore()
    for part in parts_of([clips["folder"]], request):
        assert run_part(part, request, store=store).shard.equals(run_part(part, request).shard)


@pytest.mark.parametrize(
    ("plan", "failed"),
    [("lag:1", [(3, 4)]), ("mdmd:1", [(3, 4), (3, 5)]), ("lag:2:2+2", [(3, 5)])],
    ids=["lag", "mdmd", "phases"],
)
@pytest.mark.parametrize("cut", [None, 2, 3])
@pytest.mark.parametrize("store", [None, FrameStore])
def test_a_frame_without_landmarks_fails_the_pairs_that_begin_at_it_however_they_are_divided(
    tmp_path, plan, failed, cut, store
):
    marks = tmp_path / "marks.csv"
    marks.write_text(
        "clip_id,frame,point,x,y\n" + "".join(f"c,{number},0,9,9\n" for number in range(1, 9) if number != 3)
    )
    clip = Clip(clip_id="c", source=str(frame_folder(tmp_path / "c", range(1, 9), size=SMALL)))
    request = ExtractRequest.parse(pairs=plan, landmarks=f"csv:{marks}", preset="fast")
    (part,) = parts_of([clip], request)
    kept = store and store()
    lost = []
    for pairs in (part.pairs[:cut], part.pairs[cut:] if cut else ()):
        decoded = decode_part(dataclasses.replace(part, pairs=pairs), request, kept)
        lost += [pair for pair, error in zip(pairs, decoded.results, strict=True) if error]
    assert [(pair.frame0, pair.frame1) for pair in lost] == failed


# ---- phases


def test_a_phase_pair_is_the_flow_between_the_averages(tmp_path):
    (clip,) = dataset(tmp_path, clips=1, frames=20, depth=8)
    request = ExtractRequest.parse(pairs="onset-apex:4+3")
    (part,) = parts_of([clip], request)
    shard = run_part(part, request).shard
    assert shard["frames0"].to_pylist() == [[1, 2, 3, 4]]
    assert shard["frames1"].to_pylist() == [[10, 11, 12]]
    assert (shard["role"][0].as_py(), shard["frame0"][0].as_py(), shard["frame1"][0].as_py()) == ("onset-apex", 1, 11)
    onset = flowkit.average_phase(np.stack([texture(number) for number in (1, 2, 3, 4)]))
    apex = flowkit.average_phase(np.stack([texture(number) for number in (11, 10, 12)]))
    cube = flowkit.motion_cube(onset, apex, preset="micro-phases", value_range=(0, 255))
    np.testing.assert_array_equal(as_numpy(shard["cube"])[0], cube)
    # The pattern drifts by 0.3 px a frame, which registration takes out: from frame 1 to frame 11.
    assert np.median(cube[0, 12:-12, 12:-12]) == pytest.approx(3.0, abs=0.1)


def test_one_frame_against_a_phase(tmp_path):
    (clip,) = dataset(tmp_path, clips=1, frames=20)
    request = ExtractRequest.parse(pairs="onset-apex:1+4")
    (part,) = parts_of([clip], request)
    shard = run_part(part, request).shard
    assert (shard["frames0"].to_pylist(), shard["frames1"].to_pylist()) == ([None], [[10, 11, 12, 13]])
    apex = flowkit.average_phase(np.stack([texture(number) for number in (11, 10, 12, 13)]))
    cube = flowkit.motion_cube(texture(1).astype(np.float32), apex, preset="micro-phases", value_range=(0, 255))
    np.testing.assert_array_equal(as_numpy(shard["cube"])[0], cube)


def test_a_phase_that_lacks_a_frame_or_mixes_depths_fails(tmp_path):
    (clip,) = dataset(tmp_path, clips=1, frames=20)
    request = ExtractRequest.parse(pairs="onset-apex:2+2")
    (tmp_path / "sub01" / "img2.png").unlink()
    (part,) = parts_of([clip], request)
    (error,) = run_part(part, request).failures["error"].to_pylist()
    assert "has no frame 2" in error
    cv2.imwrite(str(tmp_path / "sub01" / "img2.png"), texture(2, depth=16))
    (part,) = parts_of([clip], request)
    (error,) = run_part(part, request).failures["error"].to_pylist()
    assert error == "toy/sub01/ep01: frame 1 is uint8 and frame 2 is uint16; give all one depth"


def test_a_phase_of_more_than_one_place_fails(tmp_path):
    (clip,) = dataset(tmp_path, clips=1, frames=20, depth=8)
    for number in (10, 12):
        cv2.imwrite(str(tmp_path / "sub01" / f"img{number}.png"), texture(number)[:, ::-1])
    request = ExtractRequest.parse(pairs="onset-apex:4+3")
    (part,) = parts_of([clip], request)
    (error,) = run_part(part, request).failures["error"].to_pylist()
    assert error.startswith(
        "toy/sub01/ep01: frames = 11, 10, 12: frames[1] and frames[2] are not of the moment of frames[0]"
    )


def test_an_output_of_phases_is_proved_and_told_apart(tmp_path):
    clips = dataset(tmp_path, clips=2, frames=19)  # the pattern starts again at frame 20
    ids = set()
    for plan in ("onset-apex", "onset-apex:4+4", "onset-apex:4+3", "onset-apex-offset:3+3+3"):
        out = tmp_path / plan.replace(":", "_")
        extract(clips, out, pairs=plan, size=SMALL, workers=1)
        assert verify(out).ok
        planned = read_plan(out).to_pylist()
        ids |= {row["pair_id"] for row in planned}
        shard = {row["pair_id"]: row for row in read(out)}
        assert all(shard[row["pair_id"]][name] == row[name] for row in planned for name in ("frames0", "frames1"))
        assert extract(clips, out, pairs=plan, size=SMALL, workers=1).computed_now == 0
    assert len(ids) == 2 * (1 + 1 + 1 + 2)
    (row, *_) = shard.values()
    assert (row["frames0"], row["frames1"]) == ([1, 2, 3], [9, 10, 11])
    assert {tuple(row["frames1"]) for row in shard.values()} == {(9, 10, 11), (17, 18, 19)}


# ---- quality


def test_a_row_has_its_pair_s_quality_whatever_the_batch(tmp_path):
    clips = dataset(tmp_path, clips=2, frames=8)
    request = ExtractRequest.parse(pairs="onset-all")
    (part,) = parts_of(clips, request)
    rows = run_part(part, request).shard
    assert rows["quality"].null_count == 0
    for batch in (1, 3):
        assert run_part(part, dataclasses.replace(request, batch=batch)).shard["quality"] == rows["quality"]
    found = quality(texture(1), texture(5), as_numpy(rows["cube"])[3][:2])
    assert rows["quality"][3].as_py() == {name: float(getattr(found, name)) for name in NAMES}
    half = run_part(part, dataclasses.replace(request, dtype="float16")).shard["quality"][3].as_py()
    assert half["noise"] == pytest.approx(float(found.noise), rel=0.05)
