"""The plan: the same clips and request give the same units, and an output keeps to its plan."""

import dataclasses
import json
from pathlib import Path

import pytest

from flowkit.plan import make_units, read_plan, rows_per_unit, run_metadata, settle_plan
from flowkit.request import ExtractRequest, first_difference
from flowkit.types import PRESETS, Box, Clip, InputError, OutputError
from tests.clips import dataset, frame_folder


def request(pairs: str = "lag:1", **changes) -> ExtractRequest:
    return ExtractRequest.parse(pairs=pairs, **changes)


def clip(folder: Path, name: str | None = None) -> Clip:
    return Clip(clip_id=name or folder.name, source=str(folder))


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((224, 224), 128), ((64, 64), 128), ((448, 448), 32), ((1080, 1920), 3), ((4000, 6000), 1), (None, 128)],
)
def test_a_unit_holds_as_many_rows_as_128_cubes_of_224(shape, rows):
    assert rows_per_unit(shape) == rows


def test_a_full_unit_is_followed_by_the_next(tmp_path):
    units = make_units([clip(frame_folder(tmp_path / "a", range(131)))], request())
    assert [len(unit.pairs) for unit in units] == [128, 2]
    assert [unit.number for unit in units] == [0, 1]
    assert [(pair.frame0, pair.frame1) for pair in units[1].pairs] == [(128, 129), (129, 130)]
    assert {unit.shape for unit in units} == {(64, 64)}


def test_a_unit_has_cubes_of_one_shape(tmp_path):
    sizes = {"a": (64, 64), "b": (64, 64), "c": (48, 64), "d": (64, 64)}
    clips = [clip(frame_folder(tmp_path / name, range(3), size=size)) for name, size in sizes.items()]
    units = make_units(clips, request())
    assert [(unit.shape, [pair.clip.clip_id for pair in unit.pairs]) for unit in units] == [
        ((64, 64), ["a", "a", "b", "b"]),
        ((48, 64), ["c", "c"]),
        ((64, 64), ["d", "d"]),
    ]
    assert [unit.shape for unit in make_units(clips, request(size="40x32"))] == [(32, 40)]


def test_a_face_box_gives_the_shape(tmp_path):
    clips = [clip(frame_folder(tmp_path / name, range(3))) for name in ("a", "b")]
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("clip_id,left,top,width,height\na,4,8,32,24\n")
    (unit,) = make_units(clips, request(face=f"boxes:{boxes}"))
    assert unit.shape == (24, 32)
    assert unit.framings["a"].box == Box(4, 8, 32, 24)
    assert [pair.error is None for pair in unit.pairs] == [True, True, False, False]
    assert "b: the boxes file has no box" in unit.pairs[2].error


def test_pairs_that_cannot_be_computed_stay_with_their_neighbours(tmp_path):
    clips = dataset(tmp_path, clips=3)
    clips[1] = dataclasses.replace(clips[1], source=str(tmp_path / "gone"))
    (unit,) = make_units(clips, request("onset-apex"))
    assert unit.shape == (64, 64)
    assert [pair.error for pair in unit.pairs][::2] == [None, None]
    assert unit.pairs[1].error.startswith("toy/sub02/ep01: ")
    assert "does not exist" in unit.pairs[1].error

    alone = make_units(clips[1:2], request("onset-apex"))
    assert [(unit.shape, len(unit.pairs)) for unit in alone] == [(None, 1)]


def test_a_first_frame_that_is_damaged_costs_no_other(tmp_path):
    folder = frame_folder(tmp_path / "a", range(4))
    (folder / "img0.png").write_bytes(b"no image")
    (unit,) = make_units([clip(folder)], request())
    assert unit.shape == (64, 64)
    assert [pair.error for pair in unit.pairs] == [None] * 3


def test_planning_twice_gives_the_same_units(tmp_path):
    clips = dataset(tmp_path)
    assert make_units(clips, request("onset-all")) == make_units(clips, request("onset-all"))


def test_clips_must_have_different_ids(tmp_path):
    folder = frame_folder(tmp_path / "a", range(3))
    with pytest.raises(InputError, match="clip_id 'a' occurs twice"):
        make_units([clip(folder), clip(folder)], request())
    with pytest.raises(InputError, match="no clip"):
        make_units([], request())


def test_the_plan_is_written_once_and_kept_to(tmp_path):
    clips = dataset(tmp_path / "data")
    (tmp_path / "plan").mkdir()
    asked = request("onset-apex-offset")
    units, metadata = make_units(clips, asked), run_metadata(clips, asked)
    settle_plan(tmp_path, units, metadata)
    before = [(path.name, path.stat().st_mtime_ns) for path in sorted((tmp_path / "plan").iterdir())]
    settle_plan(tmp_path, units, metadata)
    assert [(path.name, path.stat().st_mtime_ns) for path in sorted((tmp_path / "plan").iterdir())] == before

    table = read_plan(tmp_path)
    assert table["pair_id"].to_pylist() == [pair.pair_id for unit in units for pair in unit.pairs]
    assert table["source"].to_pylist()[::2] == [clip.source for clip in clips]
    run = json.loads((tmp_path / "plan" / "run.json").read_text())
    assert run["plan"]["pairs"] == 6
    assert run["parameters"]["tvl1"] == PRESETS["micro"].to_dict()
    assert run["versions"]["flowkit"] == run["parameters"]["flowkit"]


def test_another_request_manifest_or_frames_are_refused_by_name(tmp_path):
    clips = dataset(tmp_path / "data")
    (tmp_path / "plan").mkdir()

    def settle(clips, asked):
        settle_plan(tmp_path, make_units(clips, asked), run_metadata(clips, asked))

    settle(clips, request("onset-all"))
    with pytest.raises(OutputError, match=r"tvl1\.epsilon=0\.0, this run asks for tvl1\.epsilon=0\.5; give another -o"):
        settle(clips, request("onset-all", params={"epsilon": 0.5}))
    with pytest.raises(OutputError, match="pairs='onset-all', this run asks for pairs='onset-apex'"):
        settle(clips, request("onset-apex"))
    with pytest.raises(OutputError, match="another manifest"):
        settle(clips[:2], request("onset-all"))
    frame_folder(tmp_path / "data" / "sub01", range(1, 7), size=(48, 48))
    with pytest.raises(OutputError, match=r"other frames \(clip toy/sub02/ep01: unit 0 then, 1 now\)"):
        settle(clips, request("onset-all"))


def test_what_does_not_change_a_result_does_not_change_the_hash(tmp_path):
    boxes, copy = tmp_path / "boxes.csv", tmp_path / "copy.csv"
    for path in (boxes, copy):
        path.write_text("clip_id,left,top,width,height\na,4,8,32,24\n")
    asked = request(face=f"boxes:{boxes}")
    assert asked.parameters_hash == request(face=f"boxes:{copy}", batch=7).parameters_hash
    copy.write_text("clip_id,left,top,width,height\na,4,8,32,25\n")
    edited = request(face=f"boxes:{copy}")
    assert asked.parameters_hash != edited.parameters_hash
    difference = first_difference(asked.to_dict(), edited.to_dict())
    assert difference is not None
    assert difference[0] == "face_digest"
    names = {"size": 32, "dtype": "float16", "strain": "meb", "preset": "opencv", "params": {"tau": 0.2}}
    hashes = {request(**{name: value}).parameters_hash for name, value in names.items()}
    assert len(hashes | {request().parameters_hash}) == len(names) + 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"strain": "soft"},
        {"dtype": "float64"},
        {"batch": 0},
        {"size": 0},
        {"size": "x"},
        {"face": "here"},
        {"preset": "faster"},
        {"params": {"epsilom": 1}},
        {"pairs": "lag"},
    ],
)
def test_a_wrong_request_is_named(wrong):
    (name, value), *_ = wrong.items()
    shown = "epsilom" if name == "params" else str(value)
    with pytest.raises(InputError, match=shown):
        request(**wrong)
