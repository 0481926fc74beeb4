"""The plan: the same clips and request give the same parts."""

import dataclasses
from pathlib import Path

import pytest

from flowkit.errors import InputError
from flowkit.extraction.plan import rows_per_part
from flowkit.extraction.request import ExtractRequest
from flowkit.types import Box, Clip
from tests.clips import dataset, frame_folder, parts_of


def request(pairs: str = "lag:1", **changes) -> ExtractRequest:
    return ExtractRequest.parse(pairs=pairs, **changes)


def clip(folder: Path, name: str | None = None) -> Clip:
    return Clip(clip_id=name or folder.name, source=str(folder))


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((224, 224), 128), ((64, 64), 128), ((448, 448), 32), ((1080, 1920), 3), ((4000, 6000), 1), (None, 128)],
)
def test_a_part_holds_as_many_rows_as_128_cubes_of_224(shape, rows):
    assert rows_per_part(shape, 10**6) == rows


@pytest.mark.parametrize(
    ("planned", "of_faces", "of_video_frames"), [(1, 16, 1), (128, 16, 1), (129, 16, 2), (471, 16, 3), (2049, 17, 3)]
)
def test_a_small_plan_has_small_parts(planned, of_faces, of_video_frames):
    assert rows_per_part((224, 224), planned) == of_faces
    assert rows_per_part((1080, 1920), planned) == of_video_frames
    assert rows_per_part((64, 64), planned) == 128


def test_a_full_part_is_followed_by_the_next(tmp_path):
    parts = parts_of([clip(frame_folder(tmp_path / "a", range(131)))], request())
    assert [len(part.pairs) for part in parts] == [128, 2]
    assert [part.number for part in parts] == [0, 1]
    assert [(pair.frame0, pair.frame1) for pair in parts[1].pairs] == [(128, 129), (129, 130)]
    assert {part.shape for part in parts} == {(64, 64)}


def test_a_part_has_cubes_of_one_shape(tmp_path):
    sizes = {"a": (64, 64), "b": (64, 64), "c": (48, 64), "d": (64, 64)}
    clips = [clip(frame_folder(tmp_path / name, range(3), size=size)) for name, size in sizes.items()]
    parts = parts_of(clips, request())
    assert [(part.shape, [pair.clip.clip_id for pair in part.pairs]) for part in parts] == [
        ((64, 64), ["a", "a", "b", "b"]),
        ((48, 64), ["c", "c"]),
        ((64, 64), ["d", "d"]),
    ]
    assert [part.shape for part in parts_of(clips, request(size="40x32"))] == [(32, 40)]


def test_a_face_box_gives_the_shape(tmp_path):
    clips = [clip(frame_folder(tmp_path / name, range(3))) for name in ("a", "b")]
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("clip_id,left,top,width,height\na,4,8,32,24\n")
    (part,) = parts_of(clips, request(face=f"boxes:{boxes}"))
    assert part.shape == (24, 32)
    assert part.framings["a"].box == Box(4, 8, 32, 24)
    assert [pair.error is None for pair in part.pairs] == [True, True, False, False]
    assert "b: the boxes file has no box" in part.pairs[2].error


def test_pairs_that_cannot_be_computed_stay_with_their_neighbours(tmp_path):
    clips = dataset(tmp_path, clips=3)
    clips[1] = dataclasses.replace(clips[1], source=str(tmp_path / "gone"))
    (part,) = parts_of(clips, request("onset-apex"))
    assert part.shape == (64, 64)
    assert [pair.error for pair in part.pairs][::2] == [None, None]
    assert part.pairs[1].error.startswith("toy/sub02/ep01: ")
    assert "does not exist" in part.pairs[1].error

    alone = parts_of(clips[1:2], request("onset-apex"))
    assert [(part.shape, len(part.pairs)) for part in alone] == [(None, 1)]


def test_a_first_frame_that_is_damaged_costs_no_other(tmp_path):
    folder = frame_folder(tmp_path / "a", range(4))
    (folder / "img0.png").write_bytes(b"no image")
    (part,) = parts_of([clip(folder)], request())
    assert part.shape == (64, 64)
    assert [pair.error for pair in part.pairs] == [None] * 3


def test_planning_twice_gives_the_same_parts(tmp_path):
    clips = dataset(tmp_path)
    assert parts_of(clips, request("onset-all")) == parts_of(clips, request("onset-all"))


def test_clips_must_have_different_ids(tmp_path):
    folder = frame_folder(tmp_path / "a", range(3))
    with pytest.raises(InputError, match="clip_id 'a' occurs twice"):
        parts_of([clip(folder), clip(folder)], request())
    with pytest.raises(InputError, match="no clip"):
        parts_of([], request())


def test_clips_of_one_source_share_it_unless_they_lie_far_apart(tmp_path):
    folder = str(frame_folder(tmp_path / "a", [*range(1, 9), *range(900, 904)], size=(8, 8)))
    near = [Clip(clip_id=f"n{i}", source=folder, onset=i, apex=i + 3) for i in range(1, 5)]
    far = Clip(clip_id="far", source=folder, onset=900, apex=903)
    (part,) = parts_of(near, request("onset-apex"))
    assert len({id(source) for source in part.sources.values()}) == 1
    assert list(part.sources["n1"].numbers()) == list(range(1, 8))
    (part,) = parts_of([*near, far], request("onset-apex"))
    assert [list(part.sources[name].numbers()) for name in ("n1", "far")] == [[1, 4], [900, 903]]


def test_clips_of_one_size_have_each_their_own_frame_rate(tmp_path):
    clips = [dataclasses.replace(c, fps=fps) for c, fps in zip(dataset(tmp_path), (25.0, None, 200.0), strict=True)]
    (part,) = parts_of(clips, request("onset-apex", size="32"))
    assert [part.framings[c.clip_id].fps for c in clips] == [25.0, None, 200.0]
    (whole,) = parts_of(clips, request("onset-apex"))
    assert [(framing.fps, framing.shape) for framing in whole.framings.values()] == [
        (25.0, (64, 64)),
        (None, (64, 64)),
        (200.0, (64, 64)),
    ]
