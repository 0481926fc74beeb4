"""The plan: the same clips and request give the same parts, and an output keeps to its plan."""

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import pytest

from flowkit.errors import InputError, OutputError
from flowkit.extraction.plan import rows_per_part
from flowkit.extraction.request import ExtractRequest, first_difference
from flowkit.output.plan_file import read_plan
from flowkit.params import PRESETS
from flowkit.types import Box, Clip
from tests.clips import dataset, frame_folder, parts_of, settle


def request(pairs: str = "lag:1", **changes) -> ExtractRequest:
    return ExtractRequest.parse(pairs=pairs, **changes)


def clip(folder: Path, name: str | None = None) -> Clip:
    return Clip(clip_id=name or folder.name, source=str(folder))


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((224, 224), 128), ((64, 64), 128), ((448, 448), 32), ((1080, 1920), 3), ((4000, 6000), 1), (None, 128)],
)
def test_a_unit_holds_as_many_rows_as_128_cubes_of_224(shape, rows):
    assert rows_per_part(shape) == rows


def test_a_full_unit_is_followed_by_the_next(tmp_path):
    parts = parts_of([clip(frame_folder(tmp_path / "a", range(131)))], request())
    assert [len(part.pairs) for part in parts] == [128, 2]
    assert [part.number for part in parts] == [0, 1]
    assert [(pair.frame0, pair.frame1) for pair in parts[1].pairs] == [(128, 129), (129, 130)]
    assert {part.shape for part in parts} == {(64, 64)}


def test_a_unit_has_cubes_of_one_shape(tmp_path):
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


def test_planning_twice_gives_the_same_units(tmp_path):
    clips = dataset(tmp_path)
    assert parts_of(clips, request("onset-all")) == parts_of(clips, request("onset-all"))


def test_clips_must_have_different_ids(tmp_path):
    folder = frame_folder(tmp_path / "a", range(3))
    with pytest.raises(InputError, match="clip_id 'a' occurs twice"):
        parts_of([clip(folder), clip(folder)], request())
    with pytest.raises(InputError, match="no clip"):
        parts_of([], request())


def test_the_plan_is_written_once_and_kept_to(tmp_path):
    clips = dataset(tmp_path / "data")
    (tmp_path / "plan").mkdir()
    asked = request("onset-apex-offset")
    parts = parts_of(clips, asked)
    settle(tmp_path, clips, asked)
    before = [(path.name, path.stat().st_mtime_ns) for path in sorted((tmp_path / "plan").iterdir())]
    settle(tmp_path, clips, asked)
    assert [(path.name, path.stat().st_mtime_ns) for path in sorted((tmp_path / "plan").iterdir())] == before

    table = read_plan(tmp_path)
    assert table["pair_id"].to_pylist() == [pair.pair_id for part in parts for pair in part.pairs]
    assert table["source"].to_pylist()[::2] == [clip.source for clip in clips]
    run = json.loads((tmp_path / "plan" / "run.json").read_text())
    assert run["plan"]["pairs"] == 6
    assert run["parameters"]["tvl1"] == PRESETS["micro"].to_dict()
    assert run["versions"]["flowkit"] == run["parameters"]["flowkit"]


def test_another_request_manifest_or_frames_are_refused_by_name(tmp_path):
    clips = dataset(tmp_path / "data")
    (tmp_path / "plan").mkdir()

    settle(tmp_path, clips, request("onset-all"))
    with pytest.raises(OutputError, match=r"tvl1\.epsilon=0\.0, this run asks for tvl1\.epsilon=0\.5; give another -o"):
        settle(tmp_path, clips, request("onset-all", params={"epsilon": 0.5}))
    with pytest.raises(OutputError, match="pairs='onset-all', this run asks for pairs='onset-apex'"):
        settle(tmp_path, clips, request("onset-apex"))
    with pytest.raises(OutputError, match="another manifest"):
        settle(tmp_path, clips[:2], request("onset-all"))
    frame_folder(tmp_path / "data" / "sub01", range(1, 7), size=(48, 48))
    with pytest.raises(OutputError, match=r"other frames \(clip toy/sub02/ep01: part 0 then, 1 now\)"):
        settle(tmp_path, clips, request("onset-all"))


def test_frames_that_changed_in_their_place_are_noticed(tmp_path):
    clips = dataset(tmp_path / "data")
    (tmp_path / "plan").mkdir()
    asked = request("onset-apex")
    settle(tmp_path, clips, asked)
    frame = sorted((tmp_path / "data" / "sub02").iterdir())[1]
    pixels = cv2.imread(str(frame), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(frame), cv2.GaussianBlur(pixels, (0, 0), 2.0))
    with pytest.raises(OutputError, match=r"clip toy/sub02/ep01 has other frames.*go on with --accept-changes"):
        settle(tmp_path, clips, asked)
    settle(tmp_path, clips, asked, accept_changes=True)
    settle(tmp_path, clips, asked)
    run = json.loads((tmp_path / "plan" / "run.json").read_text())
    (change,) = run["accepted_changes"]
    assert (change["what"], change["column"]) == ("toy/sub02/ep01", "identity")
    assert change["then"] != change["now"]


def test_another_decoder_is_noticed(tmp_path):
    clips = dataset(tmp_path / "data")
    (tmp_path / "plan").mkdir()
    settle(tmp_path, clips, request())
    run = json.loads((tmp_path / "plan" / "run.json").read_text())
    now = run["versions"]["simplejpeg"]
    run["versions"]["simplejpeg"] = "0.1"
    (tmp_path / "plan" / "run.json").write_text(json.dumps(run))
    with pytest.raises(OutputError, match=f"simplejpeg was 0.1 and is {now}"):
        settle(tmp_path, clips, request())
    settle(tmp_path, clips, request(), accept_changes=True)
    run = json.loads((tmp_path / "plan" / "run.json").read_text())
    assert run["accepted_changes"] == [{"what": "simplejpeg", "then": "0.1", "now": now}]
    assert run["versions"]["simplejpeg"] == now


def test_a_copy_of_the_frames_is_the_same_frames(tmp_path):
    clips = dataset(tmp_path / "data")
    copied = shutil.copytree(tmp_path / "data", tmp_path / "elsewhere" / "data")
    (tmp_path / "plan").mkdir()
    settle(tmp_path, clips, request())
    moved = [dataclasses.replace(c, source=c.source.replace(str(tmp_path / "data"), str(copied))) for c in clips]
    settle(tmp_path, moved, request())


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
