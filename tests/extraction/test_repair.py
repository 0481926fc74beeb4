"""Repair: whatever is damaged in an output is computed again, and nothing else is touched."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from flowkit.errors import InputError, OutputError
from flowkit.extraction.repair import repair
from flowkit.extraction.run import extract
from flowkit.output.shard import read
from flowkit.output.verify import verify
from tests.clips import dataset, frame_folder, rows
from tests.damage import flip_a_bit


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a dataset and its output of three parts, which failures are in."""
    folder = tmp_path_factory.mktemp("made")
    dataset(folder / "data", clips=3, frames=130)
    (folder / "data" / "sub02" / "img50.png").unlink()
    extract(folder / "data" / "manifest.csv", folder / "out", pairs="lag:1", size=16, preset="fast", workers=1)
    assert verify(folder / "out").ok
    return folder


@pytest.fixture
def out(made, tmp_path) -> Path:
    """A copy of the output, to be harmed."""
    return shutil.copytree(made / "out", tmp_path / "out")


@pytest.fixture
def moved(made, tmp_path) -> Path:
    """A copy of dataset and output, whose frames can be taken away."""
    return shutil.copytree(made, tmp_path / "moved")


def stamps(out: Path) -> dict[str, tuple[int, int]]:
    files = [*(out / "shards").iterdir(), *(out / "commits").iterdir()]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


HARM = {
    "bit of a shard": (lambda out: flip_a_bit(out / "shards/part-00001.parquet"), [1]),
    "bit of failures": (lambda out: flip_a_bit(next((out / "failures").iterdir())), [1]),
    "torn record": (lambda out: (out / "commits/part-00002.json").write_text('{"part"'), [2]),
    "no shard": (lambda out: (out / "shards/part-00000.parquet").unlink(), [0]),
    "no record": (lambda out: (out / "commits/part-00000.json").unlink(), [0]),
    "another's shard": (
        lambda out: shutil.copy(out / "shards/part-00000.parquet", out / "shards/part-00002.parquet"),
        [2],
    ),
    "a stray shard": (
        lambda out: shutil.copy(out / "shards/part-00000.parquet", out / "shards/part-00077.parquet"),
        [],
    ),
    "bit of the plan": (lambda out: flip_a_bit(out / "plan/pairs.parquet"), []),
    "no survey": (lambda out: (out / "plan/survey.parquet").unlink(), []),
    "nothing": (lambda out: None, []),
}


@pytest.mark.parametrize("harm", HARM)
def test_what_is_damaged_is_computed_again_and_nothing_else_is_touched(made, out, harm):
    before = stamps(out)
    plan = {path.name: path.read_bytes() for path in (out / "plan").iterdir()}
    damage, parts = HARM[harm]
    damage(out)
    result = repair(out, workers=1)
    assert result.parts == parts
    assert result.verification.ok
    assert rows(out) == rows(made / "out")
    assert read(out).failures() == read(made / "out").failures()
    assert {path.name: path.read_bytes() for path in (out / "plan").iterdir()} == plan
    whole = [f"part-{number:05d}" for number in range(4) if number not in parts]
    kept = {name: stamp for name, stamp in before.items() if name.split(".")[0] in whole}
    assert {name: stamp for name, stamp in stamps(out).items() if name in kept} == kept


@pytest.mark.parametrize("harm", [flip_a_bit, Path.unlink])
def test_run_json_is_made_anew_from_the_shards_and_the_manifest_given_again(made, out, harm):
    harm(out / "plan" / "run.json")
    with pytest.raises(OutputError, match=r"for that give SOURCE too, as flowkit repair .* SOURCE"):
        repair(out)
    result = repair(out, made / "data" / "manifest.csv")
    assert result.verification.ok
    assert result.notes[0] == "plan/run.json made anew from the manifest"
    assert result.notes[1].startswith("changes that an earlier plan/run.json had recorded")
    assert (out / "plan" / "run.json").read_bytes() == (made / "out" / "plan" / "run.json").read_bytes()


@pytest.mark.parametrize("lost", [["pairs"], ["survey"], ["pairs", "survey"]])
def test_run_json_and_tables_of_the_plan_are_made_anew_together(made, out, lost):
    """Without a survey that is there still, these are not proved to be the old ones."""
    whole = {path.name: path.read_bytes() for path in (out / "plan").iterdir()}
    names = [f"plan/{name}.parquet" for name in lost]
    for name in ["plan/run.json", *names]:
        (out / name).unlink()
    result = repair(out, made / "data" / "manifest.csv", accept_changes="survey" in lost)
    assert (result.verification.ok, result.parts) == (True, [])
    assert f"{', '.join(['plan/run.json', *names])} made anew from the manifest" in result.notes
    found = {path.name: path.read_bytes() for path in (out / "plan").iterdir()}
    assert all(found[name] == whole[name] for name in whole if name != "run.json" or "survey" not in lost)


def test_another_manifest_is_refused(made, out, tmp_path):
    flip_a_bit(out / "shards/part-00000.parquet")
    dataset(tmp_path / "other", clips=2, frames=6)
    with pytest.raises(OutputError, match=r"was made from another manifest .* give that one as flowkit repair"):
        repair(out, tmp_path / "other" / "manifest.csv")
    with pytest.raises(InputError, match="is not there; bring it back"):
        repair(out, tmp_path / "gone.csv")


def test_a_clip_that_is_gone_becomes_failures_only_if_that_is_asked_for(made, moved):
    out, manifest = moved / "out", moved / "data" / "manifest.csv"
    lost = moved / "data" / "sub03"
    gone = lost.rename(lost.with_name("elsewhere"))
    flip_a_bit(out / "shards/part-00000.parquet")
    assert repair(out, manifest, workers=1).parts == [0]  # sub03 has no pair in it
    flip_a_bit(next((out / "shards").glob("part-00003*")))
    with pytest.raises(
        OutputError, match=r"clip 'toy/sub03/ep01' of a damaged part: its frames are gone .*as-failures"
    ):
        repair(out, manifest, workers=1)
    assert repair(out, manifest, workers=1, lost_as_failures=True).verification.ok
    lost_rows = [row for row in read(out).failures().to_pylist() if row["clip_id"] == "toy/sub03/ep01"]
    assert lost_rows
    assert all("its frames are gone" in row["error"] for row in lost_rows)
    gone.rename(lost)
    extract(manifest, out, pairs="lag:1", size=16, preset="fast", workers=1, retry_failed=True)
    assert rows(out) == rows(made / "out")


@pytest.mark.parametrize("gone", [False, True])
def test_a_part_without_all_clips_of_a_list_is_mended(tmp_path, gone):
    clips = [*dataset(tmp_path / "a", clips=1), *dataset(tmp_path / "b", clips=1, size=(80, 80))]
    clips[1] = dataclasses.replace(clips[1], clip_id="toy/sub02/ep01")
    listed = tmp_path / "list.csv"
    listed.write_text("clip_id,frame0,frame1\n" + "".join(f"{clip.clip_id},1,3\n" for clip in clips))
    extract(clips, tmp_path / "out", pairs=f"list:{listed}", preset="fast", workers=1)
    assert len(read(tmp_path / "out").paths) == 2
    flip_a_bit(tmp_path / "out" / "shards/part-00000.parquet")
    if gone:
        shutil.rmtree(clips[0].source)
    result = repair(tmp_path / "out", clips, workers=1, lost_as_failures=gone)
    assert (result.parts, result.verification.ok) == ([0], True)
    assert len(read(tmp_path / "out").failures()) == gone


def test_a_survey_whose_column_has_another_name_now_is_made_anew(moved):
    """A flipped bit of the footer, which has no checksum as pages have."""
    survey = moved / "out" / "plan" / "survey.parquet"
    before = survey.read_bytes()
    at = before.rindex(b"identity")
    for harmed in (before[:at] + b"k" + before[at + 1 :], before.replace(b"identity", b"kdentity")):
        survey.write_bytes(harmed)
        assert repair(moved / "out", moved / "data" / "manifest.csv", workers=1).verification.ok
        assert survey.read_bytes() == before


def test_phases_keep_their_identity_with_their_frames_and_without(tmp_path):
    dataset(tmp_path / "data", clips=1, frames=12)
    manifest, out = tmp_path / "data" / "manifest.csv", tmp_path / "out"
    extract(manifest, out, pairs="onset-apex:2+2", size=16, preset="fast", workers=1)
    before = rows(out)
    assert next(iter(before.values()))[0]["frames1"] is not None
    flip_a_bit(out / "shards/part-00000.parquet")
    assert repair(out, workers=1).verification.ok
    assert rows(out) == before
    flip_a_bit(next((out / "shards").iterdir()))
    (tmp_path / "data" / "sub01").rename(tmp_path / "elsewhere")
    assert repair(out, workers=1, lost_as_failures=True).verification.ok
    assert [row["pair_id"] for row in read(out).failures().to_pylist()] == list(before)


def test_frames_that_are_others_now_are_no_repair(moved):
    out, manifest = moved / "out", moved / "data" / "manifest.csv"
    first = moved / "data" / "sub01" / "img1.png"
    shutil.copy(moved / "data" / "sub01" / "img30.png", first)
    flip_a_bit(out / "shards/part-00000.parquet")
    with pytest.raises(OutputError, match="its frames are others than when it was planned"):
        repair(out, manifest, workers=1)


def test_pairs_that_have_their_checksum_again_are_proved_by_it(tmp_path):
    """Although a clip has other frames now."""
    dataset(tmp_path / "data")
    out, manifest, frame = (
        tmp_path / "out",
        tmp_path / "data" / "manifest.csv",
        tmp_path / "data" / "sub02" / "img4.png",
    )
    sound = frame.read_bytes()
    frame.write_bytes(b"no picture")
    assert extract(manifest, out, preset="fast", workers=1).failed == 1
    pairs, survey = (out / "plan" / f"{name}.parquet" for name in ("pairs", "survey"))
    whole = [pairs.read_bytes(), survey.read_bytes(), (out / "plan" / "run.json").read_bytes()]
    frame.write_bytes(sound)
    flip_a_bit(pairs)
    assert repair(out, manifest, workers=1).notes == ["plan/pairs.parquet made anew from the manifest"]
    assert [pairs.read_bytes(), survey.read_bytes(), (out / "plan" / "run.json").read_bytes()] == whole
    flip_a_bit(survey)
    with pytest.raises(OutputError, match=r"plan/survey\.parquet made anew is not provably the one that was lost"):
        repair(out, manifest, workers=1)


def test_pairs_that_cannot_be_proved_are_named(moved):
    out, manifest = moved / "out", moved / "data" / "manifest.csv"
    (moved / "data" / "sub01").rename(moved / "data" / "away")
    frame_folder(moved / "data" / "sub01", range(2, 132))
    flip_a_bit(out / "plan" / "pairs.parquet")
    with pytest.raises(OutputError, match=r"plan/pairs\.parquet made anew is not provably the one that was lost"):
        repair(out, manifest, workers=1)


def test_a_file_of_the_users_own_is_left_and_named(out):
    (out / "shards" / "notes.txt").write_text("mine")
    flip_a_bit(out / "shards/part-00000.parquet")
    result = repair(out, workers=1)
    assert result.parts == [0]
    assert "notes.txt" in result.verification.problems[0]
    assert (out / "shards" / "notes.txt").read_text() == "mine"


def test_a_folder_that_is_no_output_is_refused(tmp_path):
    with pytest.raises(OutputError, match="is no output of flowkit extract"):
        repair(tmp_path)
