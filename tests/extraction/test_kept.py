"""What a part has computed is only replaced by what has it too, whatever has become of the frames since."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flowkit import extract, verify
from flowkit.errors import OutputError
from flowkit.extraction.repair import repair
from flowkit.output.shard import read
from flowkit.types import Clip
from tests.clips import frame_folder, rows
from tests.damage import flip_a_bit

ASKED = {"pairs": "onset-apex-offset", "preset": "fast", "workers": 1}
REFUSED = r"of the pairs that had been computed cannot be now, as: b: .*img4.png.*has been kept; bring the frames back"


def clip(folder: Path, name: str, offset: int = 9, **options) -> Clip:
    """An annotated clip of frames 1..9."""
    source = frame_folder(folder / name, range(1, 10), seed=ord(name), **options)
    return Clip(clip_id=name, source=str(source), onset=1, apex=4, offset=offset)


def lose(frame: Path) -> Callable[[], object]:
    """Makes a frame unreadable at its size, which no survey sees of one that is neither first, middle nor last; what
    brings it back."""
    whole = frame.read_bytes()
    frame.write_bytes(bytes(len(whole)))
    return lambda: frame.write_bytes(whole)


@pytest.fixture
def made(tmp_path) -> tuple[list[Clip], Path]:
    """Two clips in one part of four pairs, of which one fails; and the output."""
    clips, out = [clip(tmp_path, "a", offset=99), clip(tmp_path, "b")], tmp_path / "out"
    summary = extract(clips, out, **ASKED)
    assert (summary.parts, summary.computed, summary.failed) == (1, 3, 1)
    return clips, out


def test_a_retry_keeps_a_part_of_which_another_clip_has_lost_a_frame(made):
    clips, out = made
    before, files = rows(out), {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    back = lose(Path(clips[1].source) / "img4.png")
    with pytest.raises(OutputError, match=f"^2 {REFUSED} as they were, and run it with --retry-failed again$") as told:
        extract(clips, out, retry_failed=True, **ASKED)
    assert "(1: 0)" in str(told.value)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == files
    assert verify(out).ok
    again = extract(clips, out, **ASKED)
    assert (again.computed, again.computed_now) == (3, 0)
    back()
    assert extract(clips, out, retry_failed=True, **ASKED).computed_now == 3
    assert rows(out) == before


def test_a_retry_mends_the_parts_beside_one_that_keeps_what_it_has(tmp_path):
    """Computed by worker processes; a part holds cubes of one size."""
    sizes = {"a": (32, 32), "b": (32, 32), "c": (32, 40), "d": (32, 48)}
    clips, out = [clip(tmp_path, name, size=size) for name, size in sizes.items()], tmp_path / "out"
    back = [lose(Path(clips[i].source) / "img9.png") for i in (0, 2, 3)]
    assert extract(clips, out, **ASKED | {"workers": 2}).failed == 3
    back[1]()
    back[2]()
    lose(Path(clips[1].source) / "img4.png")
    with pytest.raises(OutputError, match=f"^2 {REFUSED}"):
        extract(clips, out, retry_failed=True, **ASKED | {"workers": 2})
    assert verify(out).ok
    assert [(commit.computed, commit.failed) for commit in read(out).commits] == [(3, 1), (2, 0), (2, 0)]


def test_a_clip_that_is_gone_is_no_reason_to_plan_anew(tmp_path):
    clips, out = [clip(tmp_path, "a"), clip(tmp_path, "b")], tmp_path / "out"
    (Path(clips[0].source) / "img9.png").write_bytes(b"no picture")
    extract(clips, out, **ASKED)
    before, plan = rows(out), {path: path.read_bytes() for path in (out / "plan").iterdir()}
    away = Path(clips[0].source).rename(tmp_path / "away")
    with pytest.raises(
        OutputError, match=r"clip a could be read then, and cannot be now; bring that back, .* recorded$"
    ):
        extract(clips, out, retry_failed=True, **ASKED)
    assert {path: path.read_bytes() for path in (out / "plan").iterdir()} == plan
    away.rename(clips[0].source)
    for retry_failed in (False, True):
        assert extract(clips, out, retry_failed=retry_failed, **ASKED).computed == 3
    assert rows(out) == before

    Path(clips[0].source).rename(away)
    with pytest.raises(OutputError, match="1 of the pairs that had been computed cannot be now, as: a: "):
        extract(clips, out, retry_failed=True, accept_changes=True, **ASKED)
    assert verify(out).ok
    assert rows(out) == before


def test_a_clip_that_goes_while_it_is_retried_costs_nothing(made):
    clips, out = made
    before, plan = rows(out), {path: path.read_bytes() for path in (out / "plan").iterdir()}
    there, away = Path(clips[1].source), Path(clips[1].source + ".away")
    with pytest.raises(OutputError, match="2 of the pairs that had been computed cannot be now, as: b: "):
        extract(clips, out, retry_failed=True, report=lambda _: there.exists() and there.rename(away), **ASKED)
    away.rename(there)
    assert {path: path.read_bytes() for path in (out / "plan").iterdir()} == plan
    assert extract(clips, out, **ASKED).failed == 1
    assert rows(out) == before


HARM = {
    "failures, a bit": ("failures/part-00000.parquet", flip_a_bit),
    "failures, gone": ("failures/part-00000.parquet", Path.unlink),
    "record, a bit": ("commits/part-00000.json", flip_a_bit),
    "shard, a bit": ("shards/part-00000.parquet", lambda path: flip_a_bit(path, 0.9)),
    "shard, cut": ("shards/part-00000.parquet", lambda path: path.write_bytes(path.read_bytes()[:99])),
    "shard, gone": ("shards/part-00000.parquet", Path.unlink),
}


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("by", ["repair", "extract"])
def test_a_damaged_part_keeps_what_it_has_where_a_frame_is_lost(made, harm, by):
    clips, out = made
    before, shard = rows(out), out / "shards" / "part-00000.parquet"
    name, damage = HARM[harm]
    damage(out / name)
    left = shard.read_bytes() if shard.exists() else None
    back = lose(Path(clips[1].source) / "img4.png")
    if by == "repair":
        with pytest.raises(OutputError, match=f"^2 {REFUSED} .*, or have the pairs become failure rows by --lost-as-f"):
            repair(out, clips, workers=1)
    elif "a bit" not in harm or "record" in harm:  # which it notices
        with pytest.raises(OutputError, match=f"^2 {REFUSED} .* by flowkit repair {out} --lost-as-failures$"):
            extract(clips, out, **ASKED)
    assert (shard.read_bytes() if shard.exists() else None) == left
    assert [path.name for path in (out / "shards").iterdir()] == ["part-00000.parquet"] * (left is not None)
    back()
    assert repair(out, clips, workers=1).verification.ok
    assert rows(out) == before


@pytest.mark.parametrize("harm", HARM)
def test_lost_pairs_become_failures_if_that_is_asked_for(made, harm):
    clips, out = made
    name, damage = HARM[harm]
    damage(out / name)
    lose(Path(clips[1].source) / "img4.png")
    assert repair(out, clips, workers=1, lost_as_failures=True).verification.ok
    assert [(commit.computed, commit.failed) for commit in read(out).commits] == [(1, 3)]


def test_pairs_that_failed_before_may_fail_again_where_the_shard_is_gone(made):
    clips, out = made
    (out / "shards" / "part-00000.parquet").unlink()
    assert repair(out, clips, workers=1).verification.ok
    assert read(out).commits[0].computed == 3


def test_damaged_failures_of_a_part_that_another_clip_leaves_cost_no_shard(tmp_path, monkeypatch):
    """The clip that can be opened again goes behind the plan, and its failure out of this part, which has another."""
    monkeypatch.setattr("flowkit.extraction.plan.rows_per_part", lambda shape, planned: 8)
    folders = [frame_folder(tmp_path / name, range(1, 6), seed=ord(name)) for name in "ab"]
    clips, out = [Clip(clip_id=path.name, source=str(path)) for path in folders], tmp_path / "out"
    asked = ASKED | {"pairs": "lag:1"}
    last = lose(folders[0] / "img5.png")
    away = folders[1].rename(tmp_path / "away")
    assert extract(clips, out, **asked).failed == 2
    before = rows(out)
    flip_a_bit(out / "failures" / "part-00000.parquet")
    away.rename(folders[1])
    back = lose(folders[0] / "img2.png")
    with pytest.raises(OutputError, match="2 of the pairs that had been computed cannot be now, as: a: "):
        extract(clips, out, retry_failed=True, **asked)
    assert (out / "shards" / "part-00000.parquet").exists()
    back()
    assert extract(clips, out, **asked).failed == 1
    last()
    assert extract(clips, out, retry_failed=True, **asked).failed == 0
    assert verify(out).ok
    assert before.items() <= rows(out).items()


@pytest.fixture
def mended(tmp_path, monkeypatch) -> tuple[list[Clip], Path]:
    """Three clips of which the first went behind the plan, and the output of two parts."""
    folders = [frame_folder(tmp_path / name, range(1, 10), seed=ord(name)) for name in "abc"]
    clips, out = [Clip(clip_id=path.name, source=str(path)) for path in folders], tmp_path / "out"
    away = folders[0].rename(tmp_path / "away")
    extract(clips, out, **ASKED | {"pairs": "lag:1"})
    away.rename(folders[0])
    assert extract(clips, out, retry_failed=True, **ASKED | {"pairs": "lag:1"}).computed == 24
    return clips, out


@pytest.mark.parametrize("gone", [False, True])
def test_a_mended_plan_and_its_shards_survive_the_loss_of_run_json(mended, gone):
    clips, out = mended
    files = {path: path.read_bytes() for path in out.rglob("*.*") if path.name != "run.json"}
    flip_a_bit(out / "plan" / "run.json")
    if gone:
        for clip in clips:
            Path(clip.source).rename(clip.source + ".away")
    else:
        lose(Path(clips[1].source) / "img4.png")
    result = repair(out, clips, workers=1, lost_as_failures=gone)
    assert (result.verification.ok, result.parts, result.removed) == (True, [], [])
    assert result.notes[0] == "plan/run.json made anew from the manifest"
    assert {path: path.read_bytes() for path in out.rglob("*.*") if path.name != "run.json"} == files
    assert read(out).metadata["plan"]["mended"] == [["a"]]
    for clip in clips:
        if gone:
            Path(clip.source + ".away").rename(clip.source)
    assert extract(clips, out, retry_failed=True, **ASKED | {"pairs": "lag:1"}).computed == 24


def test_a_survey_that_is_lost_with_run_json_is_made_for_the_mended_plan(mended):
    clips, out = mended
    whole = {path: path.read_bytes() for path in (out / "plan").iterdir() if path.name != "run.json"}
    (out / "plan" / "run.json").unlink()
    (out / "plan" / "survey.parquet").unlink()
    with pytest.raises(OutputError, match=r"plan/survey\.parquet made anew is not provably the one that was lost"):
        repair(out, clips, workers=1)
    assert repair(out, clips, workers=1, accept_changes=True).parts == []
    assert {path: path.read_bytes() for path in (out / "plan").iterdir() if path.name != "run.json"} == whole


@pytest.fixture
def in_eights(monkeypatch) -> None:
    """Parts of eight pairs: a mended plan divides all but the first clip otherwise than one made anew."""
    monkeypatch.setattr("flowkit.extraction.plan.rows_per_part", lambda shape, planned: 8)


def test_parts_that_hold_what_a_plan_made_anew_has_elsewhere_are_kept(in_eights, mended):
    """Nothing says any more which clips were mended. Part 2 comes to have more, and has what it had."""
    clips, out = mended
    before = {path: path.read_bytes() for folder in ("shards", "commits") for path in (out / folder).iterdir()}
    before = {path: content for path, content in before.items() if "00002" not in path.name}
    (out / "plan" / "run.json").unlink()
    (out / "plan" / "pairs.parquet").unlink()
    with pytest.raises(OutputError, match=r"as: not planned there now; all that their parts hold \(2: 0, 1\) has been"):
        repair(out, clips, workers=1)
    assert {path: path.read_bytes() for path in before} == before


def test_a_committed_part_that_is_not_planned_is_named_and_left(mended):
    clips, out = mended
    before = {path: path.read_bytes() for folder in ("shards", "commits") for path in (out / folder).glob("*-00001*")}
    (out / "plan" / "run.json").unlink()
    (out / "plan" / "pairs.parquet").unlink()
    result = repair(out, clips, workers=1)
    assert (result.parts, result.removed) == ([0], [])
    assert "records part 1, and 1 parts are planned; remove it" in result.verification.problems[0]
    assert {
        path: path.read_bytes() for folder in ("shards", "commits") for path in (out / folder).glob("*-00001*")
    } == before


def test_pairs_that_do_not_have_what_is_computed_are_made_anew(mended, tmp_path):
    clips, out = mended
    extract(clips[:2], tmp_path / "other", **ASKED | {"pairs": "lag:1"})
    (out / "plan" / "run.json").unlink()
    shutil.copy(tmp_path / "other" / "plan" / "pairs.parquet", out / "plan" / "pairs.parquet")
    assert repair(out, clips, workers=1).notes[0] == "plan/run.json, plan/pairs.parquet made anew from the manifest"
