"""Extraction in one process: failures, resuming, interrupts, full disks."""

import dataclasses
import errno
import os
import re
import resource
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import cv2
import pytest

from flowkit.errors import InputError, Interrupted, OutputError
from flowkit.extraction.engines import open_engine
from flowkit.extraction.forecast import forecast
from flowkit.extraction.request import ExtractRequest
from flowkit.extraction.run import extract
from flowkit.frames.survey import survey_source
from flowkit.output.claim import claimed
from flowkit.output.commit import finished
from flowkit.output.files import write_whole
from flowkit.output.shard import read
from flowkit.output.verify import verify
from flowkit.output.writer import mark_several
from flowkit.types import Clip
from tests.clips import FLOWKIT, dataset, frame_folder, start, video, without_progress
from tests.clips import flowkit as command
from tests.clips import parts_of as planned_parts


def files(out: Path) -> dict[str, tuple[int, int]]:
    """Modification time and inode of all files of an output."""
    return {
        path.relative_to(out).as_posix(): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in out.rglob("*")
        if path.is_file()
    }


def parts_of(clips: list[Clip], **options):
    request = ExtractRequest.parse(**options)
    return planned_parts(clips, request), request


def test_damaged_missing_and_odd_frames_cost_the_pairs_that_need_them(tmp_path):
    folder = frame_folder(tmp_path / "a", range(1, 21), suffix=".jpg")
    (folder / "img5.jpg").write_bytes((folder / "img5.jpg").read_bytes()[:-200])
    (folder / "img10.jpg").unlink()
    frame_folder(folder, [15], size=(64, 48), suffix=".jpg")
    summary = extract(folder, tmp_path / "out", pairs="lag:2", workers=1)
    assert (summary.planned, summary.computed, summary.failed) == (18, 12, 6)
    failures = read(tmp_path / "out").failures().to_pylist()
    assert [(row["frame0"], row["frame1"]) for row in failures] == [
        (3, 5),
        (5, 7),
        (8, 10),
        (10, 12),
        (13, 15),
        (15, 17),
    ]
    for row, word in zip(failures, ["cannot be decoded"] * 2 + ["no frame 10"] * 2 + ["48 x 64 px"] * 2, strict=True):
        assert row["error"].startswith("a: ")
        assert word in row["error"]
    assert verify(tmp_path / "out").ok


def test_a_clip_that_cannot_be_computed_leaves_the_others(tmp_path):
    clips = dataset(tmp_path, clips=3)
    clips[0] = dataclasses.replace(clips[0], apex=None)
    clips[1] = dataclasses.replace(clips[1], source=str(tmp_path / "gone"))
    tiny = Clip(clip_id="tiny", source=str(frame_folder(tmp_path / "tiny", range(3), size=(2, 2))), onset=0, apex=2)
    summary = extract([*clips, tiny], tmp_path / "out", workers=1)
    assert (summary.planned, summary.computed, summary.failed) == (4, 1, 3)
    errors = read(tmp_path / "out").failures()["error"].to_pylist()
    assert errors[0] == "toy/sub01/ep01: no apex is annotated"
    assert "does not exist" in errors[1]
    assert errors[2].startswith("tiny: ")
    assert "at least 3 x 3 px" in errors[2]
    assert verify(tmp_path / "out").ok


def test_an_output_without_a_single_row_is_sound(tmp_path):
    clips = [dataclasses.replace(clip, apex=None) for clip in dataset(tmp_path, clips=2)]
    summary = extract(clips, tmp_path / "out", pairs="onset-apex", workers=1)
    assert (summary.computed, summary.failed) == (0, 2)
    assert list((tmp_path / "out" / "shards").iterdir()) == []
    assert verify(tmp_path / "out").ok
    with pytest.raises(OutputError, match="no computed pair"):
        read(tmp_path / "out").table()


def test_a_video_and_its_frames_give_the_same_cubes(tmp_path):
    from flowkit.frames import open_source

    clip = video(tmp_path / "clip.mp4", 9)
    (tmp_path / "frames").mkdir()
    for number, frame in open_source(clip).read(range(9)):
        cv2.imwrite(str(tmp_path / "frames" / f"{number}.png"), frame)
    extract(clip, tmp_path / "a", workers=1)
    extract(tmp_path / "frames", tmp_path / "b", workers=1)
    a, b = read(tmp_path / "a"), read(tmp_path / "b")
    assert a.table(["frame0", "frame1", "cube"]).equals(b.table(["frame0", "frame1", "cube"]))
    assert len(a) == 8
    assert a.table(["fps"])["fps"].to_pylist() == [25.0] * 8
    assert b.table(["fps"])["fps"].to_pylist() == [None] * 8


def test_resuming_computes_what_is_missing_and_nothing_else(tmp_path):
    clips = dataset(tmp_path, clips=3, frames=130)
    out = tmp_path / "out"
    first = extract(clips, out, pairs="lag:1", size=16, workers=1)
    assert (first.parts, first.computed_now) == (4, 387)
    before, content = files(out), sorted(path.read_bytes() for path in (out / "shards").iterdir())

    again = extract(clips, out, pairs="lag:1", size=16, workers=1)
    assert (again.computed, again.computed_now) == (387, 0)
    assert files(out) == before

    (out / "commits" / "part-00001.json").unlink()  # as if killed before the record
    (out / "shards" / "part-00002.parquet").unlink()  # as if lost
    (out / "commits" / "part-00003.json").write_text("{")  # as if cut off
    (out / "shards" / ".tmp-part-00009.parquet-1").write_text("half")
    assert extract(clips, out, pairs="lag:1", size=16, workers=1).computed_now == 259
    after = files(out)
    # Where there was a record, the new shard has a name of its own.
    named = {re.sub(r"(part-0000[23])\.[0-9a-f]{4}", r"\1", name): name for name in after}
    assert named.keys() == before.keys()
    assert after.keys() - before.keys() == {named[f"shards/part-0000{i}.parquet"] for i in (2, 3)}
    assert {name for name in before if after.get(name) == before[name]} == {
        "plan/run.json",
        "plan/pairs.parquet",
        "plan/survey.parquet",
        "shards/part-00000.parquet",
        "commits/part-00000.json",
    }
    assert sorted(path.read_bytes() for path in (out / "shards").iterdir()) == content
    assert verify(out).ok


def test_what_a_dead_worker_left_of_a_part_goes_with_the_run(tmp_path):
    """A worker died between a part's files and its record, and another has computed the part since."""
    clips, out = dataset(tmp_path, clips=2), tmp_path / "out"

    class WithADeath:
        def run(self, parts, job):
            mark_several(job.out)
            commits = list(open_engine("local", workers=1).run(parts, job))
            (of_another,) = commits[0].files
            shutil.copy(job.out / of_another.name, job.out / "shards" / "part-00000.0123456789abcdef.parquet")
            yield from commits

    assert extract(clips, out, engine=WithADeath()).computed == 2
    assert verify(out).problems == []
    assert len(list((out / "shards").iterdir())) == 1


def test_a_finished_run_is_not_planned_again_and_still_notices_what_has_changed(tmp_path, monkeypatch):
    clips, out, states = dataset(tmp_path, clips=2), tmp_path / "out", []
    clips.append(dataclasses.replace(clips[0], clip_id="fails", apex=None))
    first = extract(clips, out, pairs="onset-apex", workers=1)
    assert (first.planned, first.computed, first.failed) == (3, 2, 1)
    with monkeypatch.context() as patch:
        patch.setattr("flowkit.extraction.run.make_parts", None)
        again = extract(clips, out, pairs="onset-apex", workers=1, report=states.append)
    counts = {"computed_now": 0, "failed_now": 0, "seconds": again.seconds}
    assert again == dataclasses.replace(first, **counts, bytes_to_write=0)
    assert [(state.parts, state.parts_done) for state in states] == [(first.parts, first.parts)]

    assert extract(clips, out, pairs="onset-apex", workers=1, retry_failed=True).failed_now == 1
    plan = out / "plan" / "pairs.parquet"
    whole = plan.read_bytes()
    plan.write_bytes(whole[:-9])
    with pytest.raises(OutputError, match=r"pairs\.parquet"):
        extract(clips, out, pairs="onset-apex", workers=1)
    plan.write_bytes(whole)
    with pytest.raises(OutputError, match="made from another manifest"):
        extract(clips[:2], out, pairs="onset-apex", workers=1)
    frame = next(path for path in sorted(Path(clips[1].source).iterdir()))
    frame.write_bytes(frame.read_bytes() + b"more")
    with pytest.raises(OutputError, match="has other frames"):
        extract(clips, out, pairs="onset-apex", workers=1)


def test_failed_pairs_are_computed_again_when_asked(tmp_path):
    clips = dataset(tmp_path, clips=3, frames=130)
    out, frame = tmp_path / "out", tmp_path / "sub02" / "img9.png"
    kept = frame.read_bytes()
    frame.write_bytes(b"")
    assert extract(clips, out, pairs="lag:1", size=16, workers=1).failed == 2
    before = files(out)
    frame.write_bytes(kept)
    with pytest.raises(OutputError, match=r"other frames.*--retry-failed, where failed pairs were mended"):
        extract(clips, out, pairs="lag:1", size=16, workers=1)
    assert files(out) == before
    summary = extract(clips, out, pairs="lag:1", size=16, workers=1, retry_failed=True)
    assert (summary.failed, summary.computed, summary.computed_now) == (0, 387, 128)
    assert not list((out / "failures").iterdir())
    # The new shard has a name of its own, so that the earlier one could count until its record was replaced.
    (shard,) = (file.name for file in read(out).commits[1].files)
    assert re.fullmatch(r"shards/part-00001\.[0-9a-f]{4}\.parquet", shard)
    assert not (out / "shards" / "part-00001.parquet").exists()
    assert {name for name, stamp in files(out).items() if before.get(name) != stamp} == {
        "plan/run.json",
        "plan/survey.parquet",
        shard,
        "commits/part-00001.json",
    }
    assert verify(out).ok


def test_a_kill_at_any_moment_of_a_recomputation_leaves_what_was_there(tmp_path, monkeypatch):
    clips = dataset(tmp_path, clips=1)
    out, frame = tmp_path / "out", tmp_path / "sub01" / "img9.png"
    frame.write_bytes(b"")
    request = {"pairs": "lag:1", "size": 16, "workers": 1}
    clips = [dataclasses.replace(clips[0], offset=9)]
    assert extract(clips, out, **request).failed > 0
    kept = {path: path.read_bytes() for folder in ("shards", "failures") for path in (out / folder).iterdir()}
    counts = read(out).commits

    class Killed(BaseException):
        pass

    replace = Path.replace

    def killed_before(name: str):
        def dying(self: Path, target: Path) -> Path:
            if name in str(target):
                raise Killed
            return replace(self, target)

        return dying

    for name in ("shards/part", "failures/part", "commits/part"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", killed_before(name))
            with pytest.raises(Killed):
                extract(clips, out, retry_failed=True, **request)
        assert read(out).commits == counts
        assert {path: path.read_bytes() for path in kept} == kept
    assert extract(clips, out, **request).computed_now == 0
    assert {path for folder in ("shards", "failures") for path in (out / folder).iterdir()} == kept.keys()
    assert verify(out).ok


def test_a_run_that_cannot_lock_leaves_the_files_of_another_that_works(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    clips, out = dataset(tmp_path / "data", clips=1), tmp_path / "out"
    extract(clips, out, workers=1)
    kept = []

    def beside(temporary: Path) -> None:
        temporary.write_text("half")
        extract(clips, out, workers=1)
        kept.append(temporary.read_text())
        dead = subprocess.Popen(["true"])
        dead.wait()
        abandoned = temporary.with_name(temporary.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-"))
        abandoned.write_text("half")
        extract(clips, out, workers=1)
        kept.append(abandoned.exists())

    write_whole(out / "shards" / "part-00007.parquet", beside)
    assert kept == ["half", False]


def test_a_video_replaced_between_two_runs_is_refused_unless_that_is_accepted(tmp_path):
    clip, out = video(tmp_path / "clip.mp4", 300), tmp_path / "out"
    arguments = ("extract", clip, "-o", out, "--size", "96", "--preset", "opencv", "--workers", "1")
    process = start(*arguments)
    while not list((out / "commits").glob("part-*.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert verify(out).unfinished > 0
    video(clip, 300, seed=1)
    code, _, stderr = command(*arguments)
    assert code == 2
    assert "clip clip.mp4 has other frames, by their names, sizes or content" in stderr
    assert len(stderr.strip().splitlines()) == 1
    assert command(*arguments, "--accept-changes")[0] == 0
    (change,) = read(out).metadata["accepted_changes"]
    assert (change["what"], change["column"]) == ("clip.mp4", "identity")
    assert verify(out).ok


def test_the_reasons_of_failures_are_counted_by_kind(tmp_path):
    clips = dataset(tmp_path, clips=4)
    clips[0] = dataclasses.replace(clips[0], apex=None)
    clips[1:3] = [dataclasses.replace(clip, source=str(tmp_path / f"gone{i}")) for i, clip in enumerate(clips[1:3])]
    for summary in (extract(clips, tmp_path / "out", workers=1), extract(clips, tmp_path / "out", workers=1)):
        assert summary.reasons == (
            (f"{tmp_path}/gone0 does not exist; give a folder of numbered frames or a video file", 2),
            ("no apex is annotated", 1),
        )
    assert extract(clips[3:], tmp_path / "other", workers=1).reasons == ()


def test_names_of_frames_that_are_no_utf8(tmp_path):
    """As old archives leave them."""
    folder = frame_folder(tmp_path / "clip", range(1, 5))
    for number in (2, 4):
        (folder / f"img{number}.png").rename(folder / os.fsdecode(b"gr\xf6\xdfe%d.png" % number))
    whole = survey_source(folder)
    (folder / os.fsdecode(b"gr\xf6\xdfe4.png")).write_bytes(b"no picture")
    assert (whole.error, whole.identity == survey_source(folder).identity) == (None, False)
    assert extract(folder, tmp_path / "out", workers=1, preset="fast").failed == 1
    (failure,) = read(tmp_path / "out").failures().to_pylist()
    assert r"gr\udcf6\udcdfe4.png: frame 4 cannot be decoded" in failure["error"]
    assert verify(tmp_path / "out").ok


@pytest.mark.parametrize("act", [extract, forecast])
def test_a_share_that_is_none_is_refused(tmp_path, act):
    for share, told in ((None, "shard None: write I/N"), (2, "shard 2: write I/N"), ("2", "shard '2': write I/N")):
        with pytest.raises(InputError, match=told):
            act(dataset(tmp_path / "data", clips=1), tmp_path / "out", shard=share)


def test_paths_that_are_no_utf8_are_refused(tmp_path, monkeypatch):
    odd = tmp_path / os.fsdecode(b"gr\xf6\xdfe")
    shutil.copytree(frame_folder(tmp_path / "clip", range(3)), odd / "clip")
    monkeypatch.chdir(odd)
    told = r"' has bytes that are no UTF-8; rename that file or folder"
    for act in (extract, forecast):
        for source, out in ((odd / "clip", tmp_path / "out"), ("clip", tmp_path / "out"), (tmp_path / "clip", "out")):
            with pytest.raises(InputError, match=told):
                act(source, out)
    assert [path.name for path in odd.iterdir()] == ["clip"]
    assert not (tmp_path / "out").exists()


def test_another_request_or_a_foreign_folder_is_refused(tmp_path):
    clips = dataset(tmp_path, clips=1)
    extract(clips, tmp_path / "out", workers=1)
    before = files(tmp_path / "out")
    with pytest.raises(OutputError, match=r"size=None, this run asks for size=\[32, 32\]; give another -o"):
        extract(clips, tmp_path / "out", size=32, workers=1)
    assert files(tmp_path / "out") == before
    with pytest.raises(OutputError, match=r"holds 'manifest\.csv' and is no output of flowkit"):
        extract(clips, tmp_path, workers=1)
    assert not (tmp_path / "plan").exists()
    with pytest.raises(OutputError, match=r"manifest\.csv' is a file"):
        extract(clips, tmp_path / "manifest.csv", workers=1)


def test_two_runs_do_not_share_an_output(tmp_path):
    with claimed(tmp_path / "out"), pytest.raises(OutputError, match="another run is writing"):
        extract(dataset(tmp_path / "data", clips=1), tmp_path / "out", workers=1)
    with claimed(tmp_path / "out"):
        pass


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_size_limit_stops_a_run_that_can_be_continued(tmp_path, workers):
    frame_folder(tmp_path / "clip", range(300))
    arguments = ("extract", tmp_path / "clip", "-o", tmp_path / "out", "--workers", workers)
    limit = 200 * 1024

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    code, _, stderr = command(*map(str, arguments), preexec_fn=limited)
    assert code == 3
    assert "File too large" in stderr
    assert "run the same command again" in stderr
    assert len(stderr.strip().splitlines()) == 1
    assert not list((tmp_path / "out" / "shards").iterdir())
    assert verify(tmp_path / "out").unfinished == 299
    assert command(*map(str, arguments))[0] == 0
    assert verify(tmp_path / "out").ok


def can_mount() -> bool:
    return os.geteuid() == 0 and os.system("unshare --mount mount -t tmpfs tmpfs /mnt 2>/dev/null") == 0


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount a small file system")
def test_a_full_disk_stops_a_run_that_can_be_continued(tmp_path):
    frame_folder(tmp_path / "clip", range(400))
    disk = tmp_path / "disk"
    disk.mkdir()
    run = shlex.join(FLOWKIT)
    # Room for all bytes, but not for all files: what no estimate foresees.
    script = f"""
        mount -t tmpfs -o size=40m,nr_inodes=11 tmpfs {disk}
        {run} extract {tmp_path / "clip"} -o {disk / "out"} --workers 1; echo full $?
        {run} verify {disk / "out"}; echo unfinished $?
        ls -A {disk / "out"}/shards; mount -o remount,nr_inodes=99 {disk}
        {run} extract {tmp_path / "clip"} -o {disk / "out"} --workers 1; echo continued $?
        {run} verify {disk / "out"}; echo verified $?
    """
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=120)
    lines = without_progress(done.stdout).splitlines()
    assert "No space left on device" in done.stderr
    assert lines[:3] == ["full 3", "unfinished 3", "part-00000.parquet"]
    assert "(128 of them earlier)" in lines[3]
    assert lines[4] == "continued 0"
    assert lines[5].startswith("OK: 399 pairs planned, 399 computed, 0 failed, 4 shards")
    assert lines[6].startswith("quality, median (worst): ")
    assert lines[-1] == "verified 0"


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount a small file system")
def test_a_disk_that_is_too_small_is_noticed_before_the_first_pair(tmp_path):
    frame_folder(tmp_path / "clip", range(400))
    disk = tmp_path / "disk"
    disk.mkdir()
    run = shlex.join(FLOWKIT)
    script = f"""
        mount -t tmpfs -o size=10m tmpfs {disk}
        {run} extract {tmp_path / "clip"} -o {disk / "out"} --workers 1; echo small $?
        ls -A {disk / "out"}/shards; mount -o remount,size=40m {disk}
        {run} extract {tmp_path / "clip"} -o {disk / "out"} --workers 1; echo large $?
        mount -o remount,size=22m {disk}; rm {disk / "out"}/commits/part-00000.json
        {run} extract {tmp_path / "clip"} -o {disk / "out"} --workers 1; echo there $?
    """
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=120)
    lines = without_progress(done.stdout).splitlines()
    assert re.fullmatch(
        r"flowkit: '\S+' needs 18.7 MiB more and its disk has 9\.\d+ MiB; make room and run the same command again, "
        r"or give an -o on another disk\n",
        done.stderr,
    )
    assert lines[0] == "small 3"
    assert lines[1].startswith("399 pairs: 399 computed")
    assert lines[2] == "large 0"
    assert "(271 of them earlier)" in lines[3]
    assert lines[4] == "there 0"


def test_the_report_is_called_for_each_unit(tmp_path):
    states = []
    extract(
        dataset(tmp_path, clips=2, frames=80), tmp_path / "out", pairs="lag:1", size=16, workers=1, report=states.append
    )
    assert [state.computed for state in states] == [0, 128, 158]
    assert [state.parts_done for state in states] == [0, 1, 2]


def test_an_interrupt_leaves_whole_units(tmp_path):
    clips = dataset(tmp_path, clips=3, frames=130)

    def interrupt(state) -> None:
        if state.parts_done == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="run the same command again"):
        extract(clips, tmp_path / "out", pairs="lag:1", size=16, workers=1, report=interrupt)
    # Two parts at least; the next may have been on its way to the disk.
    done = finished(tmp_path / "out")
    assert {0, 1} <= set(done)
    left = 3 * 129 - sum(commit.computed for commit in done.values())
    assert extract(clips, tmp_path / "out", pairs="lag:1", size=16, workers=1).computed_now == left
    assert verify(tmp_path / "out").ok
