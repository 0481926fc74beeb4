"""Clips that could not be opened, and can be now, are mended by a retry, whatever that does to the plan."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from flowkit import extract, verify
from flowkit.errors import Interrupted, OutputError
from flowkit.extraction.repair import repair
from flowkit.extraction.tally import Summary
from flowkit.output.files import is_as_written
from flowkit.output.plan_file import read_plan, read_run
from flowkit.output.shard import read
from flowkit.types import Clip
from tests.clips import frame_folder, rows, texture
from tests.damage import rename_a_column
from tests.faces.plugin import install

SMALL = {"preset": "fast", "workers": 1}


@pytest.fixture
def small_parts(monkeypatch) -> None:
    """Parts of two pairs."""
    monkeypatch.setattr("flowkit.extraction.plan.rows_per_part", lambda shape, planned: 2)


@pytest.fixture
def brightest(tmp_path, monkeypatch) -> None:
    install(tmp_path / "site", monkeypatch, "brightest = tests.faces.brightest:make")


def clips_at(folder: Path, names: str, frames: int = 4, **options) -> list[Clip]:
    """A clip of frames 1..frames for each letter."""
    folders = [frame_folder(folder / name, range(1, frames + 1), seed=ord(name), **options) for name in names]
    return [Clip(clip_id=path.name, source=str(path)) for path in folders]


def away(clip: Clip) -> Callable[[], object]:
    """Moves a clip's frames away; what brings them back."""
    hidden = shutil.move(clip.source, clip.source + ".away")
    return lambda: shutil.move(hidden, clip.source)


class Killed(BaseException):
    """In place of SIGKILL."""


def _die(*_: object) -> None:
    raise Killed


def times(out: Path) -> dict[str, int]:
    """When the shards and commit records were written."""
    return {str(path): path.stat().st_mtime_ns for folder in ("shards", "commits") for path in (out / folder).iterdir()}


def test_a_clip_that_was_missing_goes_behind_the_plan(tmp_path, small_parts):
    clips, out = clips_at(tmp_path, "abcd"), tmp_path / "out"
    extract(clips, tmp_path / "whole", **SMALL)
    back = away(clips[1])
    first = extract(clips, out, **SMALL)
    assert (first.planned, first.failed, first.parts) == (10, 1, 5)
    before = times(out)
    back()
    with pytest.raises(OutputError, match=r"clip 'b' could not be opened then, and --retry-failed mends that"):
        extract(clips, out, **SMALL)
    with pytest.raises(OutputError, match="--retry-failed mends that"):
        extract(clips, out, accept_changes=True, **SMALL)

    again = extract(clips, out, retry_failed=True, **SMALL)
    assert (again.planned, again.computed, again.computed_now) == (12, 12, 3)
    assert verify(out).ok
    assert rows(out) == rows(tmp_path / "whole")
    trimmed = str(out / "commits" / "part-00001.json")
    assert {path: stamp for path, stamp in times(out).items() if path in before and path != trimmed} == {
        path: stamp for path, stamp in before.items() if path != trimmed
    }
    assert read_plan(out)["clip_id"].to_pylist() == list("aaaccc" + "ddd" + "bbb")
    (change,) = read_run(out)["accepted_changes"]
    assert (change["what"], change["column"], change["now"]) == ("b", "error", None)
    finished = {path: path.read_bytes() for path in (out / "plan").iterdir()}
    for retry_failed in (False, True):
        assert extract(clips, out, retry_failed=retry_failed, **SMALL).computed_now == 0
    assert {path: path.read_bytes() for path in (out / "plan").iterdir()} == finished


def test_parts_of_missing_clips_alone_are_filled(tmp_path, small_parts):
    clips, out = clips_at(tmp_path, "abcdefgh", frames=3), tmp_path / "out"
    extract(clips, tmp_path / "whole", **SMALL)
    bring_back = [away(clip) for clip in clips[1:6]]
    assert extract(clips, out, **SMALL).failed == 5
    for back in bring_back[:4]:
        back()
    first = extract(clips, out, retry_failed=True, **SMALL)
    assert (first.failed, first.computed_now) == (1, 8 + 1)  # the neighbour of f, which fails still, is computed again
    assert verify(out).ok
    bring_back[4]()
    assert extract(clips, out, retry_failed=True, **SMALL).failed == 0
    assert verify(out).ok
    assert read_run(out)["plan"]["mended"] == [list("bcde"), ["f"]]
    assert rows(out) == rows(tmp_path / "whole")


@pytest.mark.parametrize("killed", [False, True])
def test_shares_fill_such_parts_too(tmp_path, small_parts, monkeypatch, killed):
    clips, out = clips_at(tmp_path, "abcdefgh", frames=3), tmp_path / "out"
    bring_back = [away(clip) for clip in clips[1:6]]
    extract(clips, out, **SMALL)
    for back in bring_back:
        back()
    with monkeypatch.context() as patch:
        if killed:  # between the first record and its files
            patch.setattr("flowkit.output.writer.remove_files", _die)
            with pytest.raises(Killed):
                extract(clips, out, retry_failed=True, shard="1/2", **SMALL)
    for share in ("1/2", "2/2"):
        extract(clips, out, retry_failed=True, shard=share, **SMALL)
    assert verify(out).problems == []
    assert verify(out).ok


def test_a_run_does_not_go_on_with_a_plan_that_another_has_replaced(tmp_path, small_parts):
    clips, out = clips_at(tmp_path, "abcdefgh", frames=3), tmp_path / "out"
    bring_back = [away(clip) for clip in clips[1:6]]

    def other(_: Summary) -> None:
        while bring_back:
            bring_back.pop()()
        extract(clips, out, retry_failed=True, shard="2/2", **SMALL)

    with pytest.raises(Interrupted, match=r"another run has put clips behind the plan of .*; run the same command"):
        extract(clips, out, shard="1/2", report=other, **SMALL)
    assert verify(out).problems == []
    assert extract(clips, out, shard="1/2", **SMALL).parts_left == 0
    assert verify(out).ok


def test_a_clip_of_another_size_leaves_the_division_of_the_others(tmp_path):
    clips = clips_at(tmp_path, "ac")
    clips[1:1] = clips_at(tmp_path, "b", size=(40, 40))
    clips = [Clip(clip_id=clip.clip_id, source=clip.source, onset=1, apex=3) for clip in clips]
    extract(clips, tmp_path / "whole", **SMALL)
    back = away(clips[1])
    assert extract(clips, tmp_path / "out", **SMALL).failed == 1
    back()
    assert extract(clips, tmp_path / "out", retry_failed=True, **SMALL).computed_now == 1
    assert verify(tmp_path / "out").ok
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")


@pytest.mark.parametrize("missing", [False, True])
def test_a_clip_of_damaged_frames_that_return_in_another_size(tmp_path, small_parts, missing):
    """Of which the numbers were known; and when it could not even be opened before."""
    clips, out = clips_at(tmp_path, "abcde", frames=4), tmp_path / "out"
    shutil.rmtree(clips[1].source)
    back = away(clips[3])
    if missing:
        e_back = away(clips[4])
        extract(clips, out, **SMALL)
        e_back()
    frame_folder(Path(clips[1].source), range(1, 5), seed=9)
    for path in Path(clips[1].source).iterdir():
        path.write_bytes(b"no picture")
    extract(clips, out, retry_failed=missing, **SMALL)
    frame_folder(Path(clips[1].source), range(1, 5), seed=ord("b"), size=(48, 40))
    with pytest.raises(OutputError, match="clip 'b' could not be read then, and --retry-failed mends that"):
        extract(clips, out, **SMALL)
    assert extract(clips, out, retry_failed=True, **SMALL).failed == 1
    assert verify(out).ok
    plan = read_run(out)["plan"]
    assert (plan["mended"], plan["unread"]) == ([["b", "e"]] * missing + [["b"]], [[]] * missing + [["b"]])
    back()
    assert extract(clips, out, retry_failed=True, **SMALL).failed == 0
    assert verify(out).ok
    extract(clips, tmp_path / "whole", **SMALL)
    assert rows(out) == rows(tmp_path / "whole")
    pairs = out / "plan" / "pairs.parquet"
    pairs.write_bytes((whole := pairs.read_bytes())[:-9])
    assert repair(out, clips).verification.ok
    assert pairs.read_bytes() == whole


@pytest.mark.parametrize("name", ["shards/part-00001.parquet", "failures/part-00001.parquet"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_part_that_is_mended_and_damaged_is_computed_again(tmp_path, small_parts, name, gone):
    clips, out = clips_at(tmp_path, "abc"), tmp_path / "out"
    back = away(clips[1])
    extract(clips, out, **SMALL)
    assert {file.name for file in (out / "failures").iterdir()} == {"part-00001.parquet"}
    whole = (out / name).read_bytes()
    (out / name).write_bytes(whole[: len(whole) // 2])
    if gone:
        (out / name).unlink()
    back()
    assert extract(clips, out, retry_failed=True, **SMALL).failed == 0
    assert verify(out).ok
    extract(clips, tmp_path / "whole", **SMALL)
    assert rows(out) == rows(tmp_path / "whole")


@pytest.mark.usefixtures("brightest")
@pytest.mark.parametrize("blank", [False, True])
@pytest.mark.parametrize("killed", [None, 0, 1, 2, 3])
def test_a_clip_whose_face_was_not_found(tmp_path, monkeypatch, blank, killed):
    """For its first frame was damaged, or showed none: how large its cubes are was unknown, and how it is divided."""
    monkeypatch.setattr("flowkit.extraction.plan.rows_per_part", lambda shape, planned: 2 if shape else 4)
    options = SMALL | {"pairs": "lag:1", "face": "brightest"}
    clips, out = [lit(tmp_path / name) for name in "abcd"], tmp_path / "out"
    extract(clips, tmp_path / "whole", **options)
    first = Path(clips[1].source) / "1.png"
    sound = first.read_bytes()
    if blank:
        cv2.imwrite(str(first), np.zeros((64, 64), np.uint8))
    else:
        first.write_bytes(b"no picture")
    back = away(clips[2])
    assert extract(clips, out, **options).failed == 5
    first.write_bytes(sound)
    with pytest.raises(OutputError, match="clip 'b' had no face then, and --retry-failed mends that"):
        extract(clips, out, **options)
    if killed is None:
        again = extract(clips, out, retry_failed=True, **options)
        assert (again.failed, again.computed) == (1, 12)
    else:
        assert _killed_at(killed, clips, out, monkeypatch, **options)
    back()
    assert extract(clips, out, retry_failed=True, **options).failed == 0
    assert verify(out).ok
    assert rows(out) == rows(tmp_path / "whole")
    assert "b" in read_run(out)["plan"]["unread"][0]
    assert extract(clips, out, **options).computed_now == 0


@pytest.mark.usefixtures("brightest")
def test_a_clip_whose_face_was_found_is_not_mended(tmp_path, monkeypatch):
    """Nor where another had none: its computed pairs stay, and so have its frames to."""
    options = SMALL | {"pairs": "lag:1", "face": "brightest"}
    monkeypatch.setattr("flowkit.extraction.plan.rows_per_part", lambda shape, planned: 2 if shape else 4)
    clips, out = [lit(tmp_path / name) for name in "ab"], tmp_path / "out"
    extract(clips, out, **options)
    cv2.imwrite(str(Path(clips[0].source) / "1.png"), np.zeros((64, 64), np.uint8))
    with pytest.raises(OutputError, match=r"other frames \(clip a: .*\); bring the frames back, or give another -o$"):
        extract(clips, out, retry_failed=True, accept_changes=True, **options)


def lit(folder: Path) -> Clip:
    """A clip of frames 1..5 with a light square, which `brightest` takes for a face; its side differs by the name."""
    folder.mkdir()
    side = 20 + ord(folder.name) % 4 * 4
    for number in range(1, 6):
        frame = texture(number, seed=ord(folder.name)) // 2
        frame[8 : 8 + side, 8 : 8 + side] = 220 + texture(number, (side, side)) // 8
        assert cv2.imwrite(str(folder / f"{number}.png"), frame)
    return Clip(clip_id=folder.name, source=str(folder))


def test_a_hint_is_given_only_where_it_helps(tmp_path, small_parts):
    clips, out = clips_at(tmp_path, "abcd"), tmp_path / "out"
    back = away(clips[1])
    extract(clips, out, **SMALL)
    back()
    extract(clips, out, retry_failed=True, **SMALL)
    frame_folder(Path(clips[0].source), [5])
    with pytest.raises(OutputError, match=r"other frames \(clip a: .*\); bring the frames back, or give another -o$"):
        extract(clips, out, **SMALL)


def test_a_plan_that_is_not_yet_computed_is_mended_too(tmp_path, small_parts):
    clips, out = clips_at(tmp_path, "abcd"), tmp_path / "out"
    back = away(clips[2])
    assert extract(clips, out, limit=1, **SMALL).parts_left == 4
    back()
    assert extract(clips, out, retry_failed=True, shard="2/2", **SMALL).parts_left == 1 + 1
    assert extract(clips, out, **SMALL).failed == 0
    assert verify(out).ok


def test_other_frames_of_another_clip_are_refused_all_the_same(tmp_path, small_parts):
    clips, out = clips_at(tmp_path, "abcd"), tmp_path / "out"
    back = away(clips[1])
    extract(clips, out, **SMALL)
    back()
    frame_folder(Path(clips[0].source), [5])
    with pytest.raises(OutputError, match=r"other frames \(clip a: .*\); bring the frames back, or give another -o$"):
        extract(clips, out, retry_failed=True, **SMALL)


def test_a_mended_plan_is_made_anew_by_repair(tmp_path, small_parts):
    clips, out = clips_at(tmp_path, "abcd"), tmp_path / "out"
    back = away(clips[1])
    extract(clips, out, **SMALL)
    back()
    extract(clips, out, retry_failed=True, **SMALL)
    pairs = out / "plan" / "pairs.parquet"
    whole = pairs.read_bytes()
    pairs.write_bytes(whole[:-9])
    assert repair(out, clips).verification.ok
    assert pairs.read_bytes() == whole


def test_a_survey_that_is_lost_is_not_made_anew_of_a_clip_that_is_there_again(tmp_path, small_parts):
    clips, out = clips_at(tmp_path, "abc"), tmp_path / "out"
    back = away(clips[1])
    extract(clips, out, **SMALL)
    (out / "plan" / "survey.parquet").unlink()
    back()
    with pytest.raises(
        OutputError, match=r"^plan/survey\.parquet cannot be made anew: 7 pairs in 4 parts were planned"
    ):
        repair(out, clips, accept_changes=True, workers=1)
    back = away(clips[1])
    assert repair(out, clips, workers=1).verification.ok
    back()
    assert extract(clips, out, retry_failed=True, **SMALL).failed == 0
    assert verify(out).ok


def test_a_kill_at_any_moment_of_the_mending_is_resumed(tmp_path, small_parts, monkeypatch):
    clips, begun = clips_at(tmp_path, "abcdefg", frames=3), tmp_path / "begun"
    extract(clips, tmp_path / "whole", **SMALL)
    bring_back = [away(clip) for clip in (clips[1], clips[3], clips[4], clips[5])]
    extract(clips, begun, **SMALL)
    for back in bring_back:
        back()
    sound = {path for path in times(begun) if "shards" in path}

    moments = 0
    while True:
        out = Path(shutil.copytree(begun, tmp_path / f"out-{moments}"))
        if not _killed_at(moments, clips, out, monkeypatch):
            break
        for name, stamp in times(begun).items():
            if name in sound:
                copied = out / Path(name).relative_to(begun)
                assert copied.stat().st_mtime_ns == stamp, (moments, name)
        run = json.loads((out / "plan" / "run.json").read_text())
        settled = (
            is_as_written(out / "plan" / "survey.parquet", run["plan"]["survey_sha256"]) and "mended" in run["plan"]
        )
        for retry_failed in (not settled, False):
            extract(clips, out, retry_failed=retry_failed, **SMALL)
        assert verify(out).ok, moments
        assert rows(out) == rows(tmp_path / "whole"), moments
        moments += 1
    assert moments > 12


@pytest.mark.parametrize("repaired", [False, True])
def test_a_clip_that_returns_after_a_kill_is_mended_too(tmp_path, small_parts, monkeypatch, repaired):
    clips, begun = clips_at(tmp_path, "abcdefg", frames=3), tmp_path / "begun"
    extract(clips, tmp_path / "whole", **SMALL)
    back, later = (away(clip) for clip in (clips[1], clips[4]))
    extract(clips, begun, **SMALL)
    back()
    ends = []
    for moment in range(20):
        out = Path(shutil.copytree(begun, tmp_path / f"out-{moment}"))
        if not _killed_at(moment, clips, out, monkeypatch):
            break
        ends.append(out)
    later()
    for out in ends:
        if repaired:
            repair(out, clips, workers=1)
        extract(clips, out, retry_failed=True, **SMALL)
        assert verify(out).ok
        assert rows(out) == rows(tmp_path / "whole")
    assert len(ends) > 6


def _killed_at(moment: int, clips: list[Clip], out: Path, monkeypatch, **options: object) -> bool:
    """Whether a retry came to that many changes of names, and was killed there."""
    left = [moment]

    def dying(change: Callable[..., object]) -> Callable[..., object]:
        def changed(*arguments: object, **options: object) -> object:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return change(*arguments, **options)

        return changed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying(Path.replace))
        patch.setattr(Path, "unlink", dying(Path.unlink))
        try:
            extract(clips, out, retry_failed=True, **SMALL | options)
        except Killed:
            return True
    return False


def test_damaged_failures_are_computed_again_and_not_sealed_anew(tmp_path, small_parts):
    """Of a part whose other failures stay, and which this run does not compute."""
    clips, out = clips_at(tmp_path, "abcd"), tmp_path / "out"
    (Path(clips[0].source) / "img3.png").unlink()
    back = away(clips[1])
    extract(clips, out, **SMALL)
    assert set(read(out).failures()["clip_id"].to_pylist()) == {"a", "b"}
    rename_a_column(out / "failures" / "part-00001.parquet", "error")
    back()
    extract(clips, out, retry_failed=True, shard="2/2", **SMALL)
    assert verify(out).problems == []
    assert 1 in verify(out).to_do
    extract(clips, out, **SMALL)
    assert verify(out).ok
    assert set(read(out).failures()["clip_id"].to_pylist()) == {"a"}
