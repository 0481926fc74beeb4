"""Faces in an extraction: aligned, followed, stabilised, with landmarks; and what cannot be is a failure row."""

import dataclasses

import cv2
import numpy as np
import pytest

from flowkit.errors import InputError
from flowkit.extraction.engines.device_pipeline import DeviceRunner
from flowkit.extraction.part import Job, PartRunner, run_part
from flowkit.extraction.request import ExtractRequest
from flowkit.extraction.run import extract
from flowkit.motion.strain import strain_magnitude
from flowkit.output.shard import read
from flowkit.synthetic.faces import neutral_face
from flowkit.synthetic.motion import Pose, expression
from flowkit.synthetic.render import Performance, digitise
from flowkit.types import Clip
from tests.clips import parts_of
from tests.extraction.engines.test_device_pipeline import Stand
from tests.faces.plugin import install

SIZE = 96
SHIFT = (1.5, -1.0)
NOSE = "nose:0.42,0.4,0.16,0.12"
FAST = {"preset": "fast", "pairs": "onset-apex"}


@pytest.fixture
def brightest(tmp_path, monkeypatch):
    install(tmp_path / "site", monkeypatch, "brightest = tests.faces.brightest:make")


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """Two clips of a drawn face on a wide frame: it smiles while its head moves; frames 1 and 2."""
    folder = tmp_path_factory.mktemp("moving")
    clips = []
    for identity in (1, 2):
        landmarks = neutral_face(identity, 2 * SIZE).landmarks
        rng = np.random.default_rng(identity)
        bumps = expression(("12",), landmarks, SIZE, 0.8, rng)
        made = Performance(identity, SIZE, bumps, Pose(shift=SHIFT))
        source = folder / f"c{identity}"
        source.mkdir()
        for number, amount in enumerate((0.0, 1.0), start=1):
            wide = np.full((SIZE + 20, SIZE + 40), 128, np.float32)
            wide[10:-10, 20:-20] = cv2.cvtColor(made.frame(amount, amount), cv2.COLOR_RGB2GRAY)
            assert cv2.imwrite(str(source / f"{number}.png"), digitise(wide, 1.0, rng))
        clips.append(Clip(clip_id=f"c{identity}", source=str(source), onset=1, apex=2, offset=2))
    (folder / "boxes.csv").write_text(
        "clip_id,left,top,width,height,left_eye_x,left_eye_y,right_eye_x,right_eye_y\n"
        "c1,20,10,96,96,55,48,81,48\nc2,20,10,96,96,55,50,81,46\n"
    )
    (folder / "marks.csv").write_text(
        "clip_id,point,x,y\n" + "".join(f"c{i},0,68,60\nc{i},1,60,82\nc{i},2,5,5\n" for i in (1, 2))
    )
    return clips, folder


def rows_of(clips, out, **options):
    extract(clips, out, workers=1, **FAST | options)
    return list(read(out))


def at_nose(row):
    return row["cube"][:2, 42:50, 44:52].astype(float).mean(axis=(1, 2))


def test_stabilising_takes_the_head_s_motion_out_and_says_what_it_was(moving, tmp_path):
    clips, folder = moving
    given = {"face": f"boxes:{folder / 'boxes.csv'}"}
    for row in rows_of(clips, tmp_path / "none", **given):
        assert at_nose(row) == pytest.approx(SHIFT, abs=0.25)
        assert row["removed"] is None
    for how in ("translation", NOSE):
        for row in rows_of(clips, tmp_path / how.partition(":")[0], **given, stabilise=how):
            assert np.hypot(*at_nose(row)) < 0.25
            assert np.array(row["removed"]).reshape(2, 3)[:, 2] == pytest.approx(SHIFT, abs=0.25)
            assert np.abs(row["cube"][:2]).max() > 0.25  # the smile is still there


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("strain", ["standard", "meb", "softnet"])
def test_the_strain_is_that_of_the_flow_without_the_nose_s(moving, tmp_path, strain, dtype):
    clips, folder = moving
    options = {"face": f"boxes:{folder / 'boxes.csv'}", "strain": strain, "dtype": dtype}
    before = rows_of(clips, tmp_path / "none", **options)
    for was, row in zip(before, rows_of(clips, tmp_path / "nose", **options, stabilise=NOSE), strict=True):
        assert row["cube"].dtype == dtype
        expected = strain_magnitude(row["cube"][:2].astype(np.float32), strain)
        np.testing.assert_allclose(row["cube"][2], expected, atol=1e-5 if dtype == "float32" else 0.02)
        within = np.s_[1:-1, 1:-1] if strain == "meb" else np.s_[:, :]
        np.testing.assert_array_equal(row["cube"][2][within], was["cube"][2][within])


def test_landmarks_have_their_flow_in_pixels_of_the_cube(moving, tmp_path):
    clips, folder = moving
    options = {"face": f"boxes:{folder / 'boxes.csv'}", "landmarks": f"csv:{folder / 'marks.csv'}"}
    for row in rows_of(clips, tmp_path / "out", **options):
        assert row["landmarks"] == [[48, 50], [40, 72], [-15, -5]]
        flow = np.array(row["landmark_flow"])
        assert flow[0] == pytest.approx(row["cube"][:2, 50, 48])
        assert flow[1] == pytest.approx(row["cube"][:2, 72, 40])
        assert np.isnan(flow[2]).all()


def test_aligned_eyes_are_level_and_the_transform_says_how(moving, tmp_path):
    clips, folder = moving
    options = {"face": f"boxes:{folder / 'boxes.csv'}", "landmarks": f"csv:{folder / 'marks.csv'}"}
    rows = rows_of(clips, tmp_path / "out", **options, face_fit="align", size=64)
    for row, eyes in zip(rows, (((55, 48), (81, 48)), ((55, 50), (81, 46))), strict=True):
        matrix = np.array(row["transform"]).reshape(2, 3)
        left, right = (matrix @ (*eye, 1) for eye in eyes)
        assert (left[1], right[0] - left[0]) == pytest.approx((right[1], 0.34 * 64))
        assert row["cube"].shape == (3, 64, 64)
        assert row["box"]["width"] > 70
        assert row["landmarks"][0] == pytest.approx(matrix @ (68, 60, 1))


def requests(folder):
    given = {"face": f"boxes:{folder / 'boxes.csv'}", "landmarks": f"csv:{folder / 'marks.csv'}"}
    return [ExtractRequest.parse(**FAST, **given, stabilise=how) for how in ("similarity", NOSE)]


def test_every_way_of_computing_a_part_gives_the_same_rows(moving, tmp_path):
    clips, folder = moving
    for i, request in enumerate(requests(folder)):
        (part,) = parts_of(clips, request)
        once = run_part(part, request, {}).shard.drop_columns(["cube"]).to_pylist()
        assert all(row["removed"] and row["landmarks"] and row["landmark_flow"] for row in once)
        job = Job(tmp_path / str(i), request, {})
        on_device = DeviceRunner(job, Stand).rows(part).shard.drop_columns(["cube"]).to_pylist()
        assert repr(on_device) == repr(once)
        for folder_ in ("shards", "failures", "commits"):
            (job.out / folder_).mkdir(parents=True, exist_ok=True)
        commit = PartRunner(job).apart(part)
        assert (commit.computed, commit.failed) == (2, 0)


def light(folder, places):
    """A clip whose frames have a light, textured square at each place, or none."""
    folder.mkdir()
    texture = np.random.default_rng(0).integers(215, 255, (40, 40), dtype=np.uint8)
    for number, place in enumerate(places, start=1):
        frame = np.full((120, 160), 20, np.uint8)
        if place is not None:
            frame[place[1] : place[1] + 40, place[0] : place[0] + 40] = texture
        assert cv2.imwrite(str(folder / f"{number}.png"), frame)
    return Clip(clip_id=folder.name, source=str(folder))


@pytest.mark.usefixtures("brightest")
def test_a_face_that_is_lost_or_never_there_costs_its_pairs(tmp_path):
    clips = [
        light(tmp_path / "leaves", [(60, 40), (61, 40), (62, 40), None, (62, 40), (63, 40)]),
        light(tmp_path / "never", [None, None, None]),
        light(tmp_path / "stays", [(30, 30), (30, 31)]),
    ]
    summary = extract(clips, tmp_path / "out", pairs="lag:1", preset="fast", face="brightest", workers=1)
    shards = read(tmp_path / "out")
    computed = [(row["clip_id"], row["frame0"]) for row in shards]
    assert computed == [("leaves", 1), ("leaves", 2), ("leaves", 5), ("stays", 1)]
    assert {row["box"]["left"] for row in shards} == {60, 30}
    failures = shards.failures().to_pylist()
    assert [(row["clip_id"], row["frame0"]) for row in failures] == [
        ("leaves", 3),
        ("leaves", 4),
        ("never", 1),
        ("never", 2),
    ]
    assert failures[0]["error"].startswith("leaves: the face is lost in frame 4: none near its box of 40 x 40 px")
    assert failures[2]["error"].startswith("never: no face is found in frame 1")
    assert summary.failed == 4


@pytest.mark.usefixtures("brightest")
def test_what_cannot_be_stabilised_is_a_failure_row(tmp_path):
    clip = light(tmp_path / "far", [(40, 40), (54, 40)])
    extract(
        [clip],
        tmp_path / "out",
        pairs="lag:1",
        preset="fast",
        face="brightest",
        workers=1,
        stabilise="translation:whole",
    )
    (failure,) = read(tmp_path / "out").failures().to_pylist()
    assert failure["error"].startswith("far: stabilising ")


@pytest.mark.usefixtures("brightest")
def test_another_model_on_a_worker_is_no_face(tmp_path):
    clip = light(tmp_path / "stays", [(30, 30), (30, 31)])
    request = ExtractRequest.parse(pairs="lag:1", preset="fast", face="brightest")
    (part,) = parts_of([clip], request)
    elsewhere = dataclasses.replace(request, face_digest="another")
    (failure,) = run_part(part, elsewhere).failures.to_pylist()
    assert "brightest is not here what it was when this run was planned" in failure["error"]


def test_what_decides_numbers_is_a_parameter(moving):
    _, folder = moving
    base = {"face": f"boxes:{folder / 'boxes.csv'}"}
    options = [
        {},
        {"face_fit": "align"},
        {"face_margin": 0.1},
        {"stabilise": "translation"},
        {"stabilise": "translation:upper"},
        {"landmarks": f"csv:{folder / 'marks.csv'}"},
    ]
    hashes = {ExtractRequest.parse(pairs="lag:1", **base, **option).parameters_hash for option in options}
    assert len(hashes) == len(options)
    same = ExtractRequest.parse(pairs="lag:1", **base, stabilise="translation:inner")
    assert same.parameters_hash in hashes


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"face_fit": "align"}, "without a face there is nothing to fit"),
        ({"face_margin": 0.2}, "without a face there is nothing to fit"),
        ({"face_fit": "oval"}, "face_fit='oval' is unknown; choose one of crop, align"),
        ({"face": "boxes", "face_fit": "align", "size": "64x48"}, "aligned faces are squares"),
        ({"face": "boxes", "face_margin": 3.0}, "face margin 3"),
        ({"stabilise": "shift"}, "stabilise 'shift' is unknown"),
        ({"landmarks": "dlib"}, "landmarks 'dlib' are unknown"),
    ],
)
def test_options_that_cannot_be_are_refused_at_once(moving, options, told):
    if options.get("face") == "boxes":
        options = options | {"face": f"boxes:{moving[1] / 'boxes.csv'}"}
    with pytest.raises(InputError, match=told):
        ExtractRequest.parse(pairs="lag:1", **options)
