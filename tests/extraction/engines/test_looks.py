"""Faces looked for in worker processes: what happens there costs the clip alone, and can be mended."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from unittest.mock import ANY

import cv2
import numpy as np
import pytest

from flowkit.errors import InputError, OutputError
from flowkit.extraction.engines.crew import Crew
from flowkit.extraction.engines.survey import Surveyor
from flowkit.extraction.forecast import forecast
from flowkit.extraction.plan import make_parts
from flowkit.extraction.repair import repair
from flowkit.extraction.request import ExtractRequest
from flowkit.extraction.run import extract
from flowkit.faces.finding import FoundFaces
from flowkit.frames.survey import survey
from flowkit.output.shard import read
from flowkit.output.verify import verify
from flowkit.types import Clip
from tests.extraction.engines import faults
from tests.extraction.engines.test_survey import workers
from tests.faces.moody import DIES_AT_PX

FAST = {"pairs": "onset-apex", "params": {"warps": 1, "inner_iterations": 3}}


def lit_clips(folder: Path, places: dict[str, tuple[int, int] | None], side: int = 30) -> list[Clip]:
    """Folders of three dim frames, in whose last two, onset and apex, a square is lit at (left, top)."""
    clips = []
    for name, place in places.items():
        (folder / name).mkdir(parents=True)
        for number in (1, 2, 3):
            picture = np.full((96, 128), 20, np.uint8)
            if place and number > 1:
                picture[place[1] : place[1] + side, place[0] : place[0] + side] = 240
            assert cv2.imwrite(str(folder / name / f"{number}.png"), picture)
        clips.append(Clip(clip_id=name, source=str(folder / name), onset=2, apex=3))
    return clips


def looks(mood: Path) -> int:
    """How many there have been since they were asked for last."""
    log = mood.with_suffix(".log")
    count = len(log.read_text()) if log.exists() else 0
    log.unlink(missing_ok=True)
    return count


def planned(clips, surveys, request, crew):
    faces, after = Surveyor(crew, 2).faces(clips, surveys, request)
    return make_parts(clips, request, after, faces), after


def test_faces_found_apart_are_the_faces(tmp_path, moody):
    clips = lit_clips(tmp_path, {"a": (10, 20), "b": None, "c": (60, 50), "d": (5, 5), "e": (6, 6)})
    clips[3] = dataclasses.replace(clips[3], onset=7)
    shutil.rmtree(clips[4].source)
    request = ExtractRequest.parse(size=16, face=f"moody:{moody}", **FAST)
    surveys, crew = survey(clips), Crew()
    try:
        (part,), after = planned(clips, surveys, request, crew)
        assert len(crew.workers) == 2
    finally:
        crew.end()
    assert after == surveys
    assert [part] == make_parts(clips, request, surveys)
    found = {clip_id: (framing.face.left, framing.face.top) for clip_id, framing in part.framings.items()}
    assert found == {"a": (10, 20), "c": (60, 50)}
    assert [pair.error and pair.error[:18] for pair in part.pairs] == [None, "b: no face is foun", None, *(ANY, ANY)]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (faults.die, r"its face was looked for in frame 2: its worker process died 4 times \(signal 9\)"),
        (faults.hang, r"its face was looked for in frame 2: not done within the time limit of 8 s"),
        (faults.surprise, r"no face can be looked for in frame 2, unexpectedly \(ZeroDivisionError"),
    ],
)
def test_what_a_look_does_to_its_process_costs_its_clip_only(tmp_path, moody, fault, reason):
    clips = lit_clips(tmp_path, {"a": (10, 20), "b": (60, 50), "c": (5, 5), "d": (6, 6)})
    request = ExtractRequest.parse(size=16, face=f"moody:{moody}", **FAST)
    surveys = survey(clips)
    surveys["c"] = dataclasses.replace(surveys["c"], source=faults.Faulty(surveys["c"].source, fault))
    crew = Crew(8 if fault is faults.hang else 1800, computes=False)
    (part,), after = planned(clips, surveys, request, crew)
    assert workers() == []
    assert list(part.framings) == ["a", "b", "d"]
    (error,) = [pair.error for pair in part.pairs if pair.error]
    assert re.match(f"c: {reason}", error)
    # As one whose frames could not be read, which a retry may find otherwise.
    assert (after["c"].frame_size, after["c"].error) == (None, error.removeprefix("c: "))
    assert all(after[clip_id] == surveys[clip_id] for clip_id in "abd")


def test_a_face_that_was_given_up_is_found_by_a_retry_or_a_repair(tmp_path, moody):
    """Cubes have the size of the face, so that where the clip is in the plan depends on it."""
    clips = [*lit_clips(tmp_path, {"a": (10, 20)}), *lit_clips(tmp_path, {"b": (9, 9)}, DIES_AT_PX)]
    clips += lit_clips(tmp_path, {"c": (60, 50)})
    asked = {"face": f"moody:{moody}", "workers": 1, **FAST}
    moody.write_text("die")
    summary = extract(clips, tmp_path / "out", **asked)
    assert (summary.computed, summary.failed) == (2, 1)
    assert "died 4 times (signal 9)" in read(tmp_path / "out").failures()["error"][0].as_py()
    shutil.copytree(tmp_path / "out", tmp_path / "damaged")
    moody.unlink()

    for shard in (tmp_path / "damaged" / "shards").iterdir():
        shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(OutputError, match=r"clip 'b' of a damaged part: it could not be read when it was planned, and"):
        repair(tmp_path / "damaged", clips, face=asked["face"])
    repair(tmp_path / "damaged", clips, face=asked["face"], lost_as_failures=True)
    assert verify(tmp_path / "damaged").ok
    assert read(tmp_path / "damaged").table(["clip_id"])["clip_id"].to_pylist() == ["a", "c"]

    with pytest.raises(OutputError, match="--retry-failed"):
        extract(clips, tmp_path / "out", **asked)
    summary = extract(clips, tmp_path / "out", retry_failed=True, **asked)
    assert (summary.computed, summary.failed) == (3, 0)
    assert verify(tmp_path / "out").ok
    assert extract(clips, tmp_path / "out", **asked).computed_now == 0


def test_looks_that_are_too_much_for_the_machine_together_are_made_alone(tmp_path, moody):
    clips = lit_clips(tmp_path, {f"c{i}": (5 * i, 20) for i in range(6)})
    request = ExtractRequest.parse(size=16, face=f"moody:{moody}", **FAST)
    moody.write_text("alone")
    faces, _ = Surveyor(Crew(computes=False), 2).faces(clips, survey(clips), request)
    assert isinstance(faces, FoundFaces)
    left = {name: found if isinstance(found, str) else found.left for name, found in faces.found.items()}
    assert left == {f"c{i}": 5 * i for i in range(6)}


def test_faces_are_looked_for_where_there_is_a_pair_to_compute(tmp_path, moody):
    clips = lit_clips(tmp_path, {f"c{i}": (5 * i, 20) for i in range(6)})
    clips[1:] = [dataclasses.replace(clip, apex=None) for clip in clips[1:]]
    (tmp_path / "one.csv").write_text("clip_id,frame0,frame1\nc2,2,3\n")
    for pairs in ("onset-apex", f"list:{tmp_path / 'one.csv'}"):
        request = ExtractRequest.parse(size=16, face=f"moody:{moody}", **FAST | {"pairs": pairs})
        parts, _ = planned(clips, survey(clips), request, Crew(computes=False))
        assert looks(moody) == 1
        assert parts == make_parts(clips, request, survey(clips))
        looks(moody)


def test_what_cannot_be_planned_is_refused_before_any_look(tmp_path, moody):
    clips = lit_clips(tmp_path, {"a": (10, 20), "b": (60, 50)})
    asked = {"face": f"moody:{moody}", "size": 16, "workers": 1}
    (tmp_path / "list.csv").write_text("clip_id,frame0,frame1\nnobody,2,3\n")
    for made in (extract, forecast):
        with pytest.raises(InputError, match="occurs twice"):
            made([*clips, clips[0]], tmp_path / "out", pairs="onset-apex", **asked)
        with pytest.raises(InputError, match="pairs of clip 'nobody'"):
            made(clips, tmp_path / "out", pairs=f"list:{tmp_path / 'list.csv'}", **asked)
    assert looks(moody) == 0


def test_an_error_that_no_pipe_takes_is_the_clip_s_all_the_same(tmp_path, moody):
    clips = lit_clips(tmp_path, {"a": (10, 20), "b": (60, 50)})
    moody.write_text("refuse")
    summary = extract(clips, tmp_path / "out", face=f"moody:{moody}", size=16, workers=1, **FAST)
    assert (summary.computed, summary.failed) == (0, 2)
    failures = read(tmp_path / "out").failures()["error"].to_pylist()
    assert failures == ["a: no face here, code 3", "b: no face here, code 3"]


def test_no_worker_is_kept_that_is_not_needed(tmp_path, moody):
    """One part of folders of images is computed in this process; the faces were looked for in another."""
    clips, seen = lit_clips(tmp_path, {"a": (10, 20), "b": None}), []
    asked = {"face": f"moody:{moody}", "size": 16, "workers": 1, **FAST}
    summary = extract(clips, tmp_path / "out", report=lambda state: seen.append(workers()), **asked)
    assert (summary.computed, summary.failed) == (1, 1)
    assert seen[-1] == []
