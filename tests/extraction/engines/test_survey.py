"""The survey of videos in worker processes: a decoder that crashes or hangs costs the clips of its file only.

The file that hangs is a real one: FFmpeg, told to go on with a pipe that nobody writes into, waits in a system call.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from flowkit.extraction.engines.crew import Crew
from flowkit.extraction.engines.local import LocalEngine
from flowkit.extraction.engines.survey import Surveyor
from flowkit.extraction.part import Job, PartRunner
from flowkit.extraction.request import ExtractRequest
from flowkit.extraction.run import extract
from flowkit.frames.survey import survey
from flowkit.output.shard import read
from flowkit.output.verify import verify
from flowkit.types import Clip
from tests.clips import frame_folder, parts_of, settle, start, video
from tests.extraction.engines import faults

FAST = {"size": 16, "params": {"warps": 1, "inner_iterations": 3}}
LIMIT_S = 12.0


@pytest.fixture
def clips(tmp_path):
    """Annotated clips: a folder, a video that cannot be opened, and a sound one."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "b.mp4").write_text("ffconcat version 1.0\nfile pipe\n")
    os.mkfifo(tmp_path / "clips" / "pipe")
    sources = [frame_folder(tmp_path / "clips" / "a", range(8)), tmp_path / "clips" / "b.mp4"]
    sources.append(video(tmp_path / "clips" / "c.mp4", 8))
    return [Clip(clip_id=path.name, source=str(path), onset=0, apex=4, offset=7) for path in sources]


def workers() -> list[int]:
    """The child processes of this one that are at work."""
    children: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread that has ended meanwhile
            children += (task / "children").read_text().split()
    return [int(child) for child in children if _is_a_worker(child)]


def _is_a_worker(child: str) -> bool:
    with suppress(OSError):  # it has ended meanwhile
        return b"engines.worker" in Path(f"/proc/{child}/cmdline").read_bytes()
    return False


@contextmanager
def when_it_hangs(pipe: Path, act: Callable[[int], None]) -> Iterator[None]:
    """Acts on each worker process that reads the pipe, which stays silent and never comes to an end."""
    over = threading.Event()
    silent_end = os.open(pipe, os.O_RDWR)

    def watch() -> None:
        while not over.wait(0.01):
            for process in Path("/proc").glob("[0-9]*"):
                if _is_a_worker(process.name) and _has_open(process, pipe):
                    act(int(process.name))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        os.close(silent_end)


def _has_open(process: Path, path: Path) -> bool:
    with suppress(OSError):  # it has ended meanwhile
        return any(link.readlink() == path for link in (process / "fd").iterdir())
    return False


def crash(worker: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(worker, signal.SIGSEGV)


def require_only_b_failed(out: Path, reason: str) -> None:
    failures = read(out).failures().to_pylist()
    assert [(row["clip_id"], row["frame0"], row["frame1"]) for row in failures] == [("b.mp4", 0, 4)]
    assert failures[0]["error"].startswith("b.mp4: ")
    assert reason in failures[0]["error"]
    assert read(out).table(["clip_id"])["clip_id"].to_pylist() == ["a", "c.mp4"]
    assert verify(out).ok
    assert workers() == []


def test_a_decoder_that_hangs_while_a_video_is_opened_costs_its_clip_only(tmp_path, clips):
    began = time.monotonic()
    extract(clips, tmp_path / "out", workers=1, time_limit_s=LIMIT_S, **FAST)
    assert LIMIT_S < time.monotonic() - began < 60
    require_only_b_failed(tmp_path / "out", "b.mp4: not done within the time limit of 12 s; mend the clip, or raise")


def test_a_decoder_that_crashes_while_a_video_is_opened_costs_its_clip_only(tmp_path, clips):
    with when_it_hangs(tmp_path / "clips" / "pipe", crash):
        extract(clips, tmp_path / "out", workers=2, **FAST)
    require_only_b_failed(tmp_path / "out", "b.mp4: its worker process died 4 times (signal 11)")


def test_an_engine_without_worker_processes_is_served_too_and_none_is_left_while_it_computes(tmp_path, clips):
    class Here:
        def run(self, parts, job):
            assert workers() == []
            yield from map(PartRunner(job), parts)

    with when_it_hangs(tmp_path / "clips" / "pipe", crash):
        extract(clips, tmp_path / "out", engine=Here(), **FAST)
    require_only_b_failed(tmp_path / "out", "its worker process died 4 times (signal 11)")


@pytest.mark.parametrize(("fault", "reason"), [(faults.die, "process died 4 times"), (faults.hang, "limit of 10 s")])
def test_one_worker_is_a_process_where_there_is_a_video(tmp_path, fault, reason):
    """So that a decoder may crash or hang while it decodes; folders of images stay in this process."""
    clips = [Clip(clip_id=name, source=str(video(tmp_path / name, 4))) for name in ("a.mp4", "b.mp4")]
    request, out = ExtractRequest.parse(pairs="lag:1", **FAST), tmp_path / "out"
    for folder in ("plan", "shards", "failures", "commits"):
        (out / folder).mkdir(parents=True)
    settle(out, clips, request)
    (part,) = parts_of(clips, request)
    job = Job(out, request, request.metadata(clips))
    (commit,) = LocalEngine(1, Crew(10 if fault is faults.hang else 1800)).run(
        [faults.with_fault(part, "b.mp4", fault)], job
    )
    assert (commit.computed, commit.failed) == (3, 3)
    assert all(reason in error for error in read(out).failures()["error"].to_pylist())
    assert verify(out).ok


def test_a_survey_apart_is_the_survey(tmp_path, clips):
    (tmp_path / "d.mp4").write_text("no video")
    clips = [clips[0], *clips[2:]]
    clips += [Clip(clip_id=name, source=str(tmp_path / name)) for name in ("d.mp4", "gone.mp4", "clips/pipe")]
    clips.append(Clip(clip_id="again", source=clips[1].source, frame_base=5))
    here, crew = survey(clips), Crew()
    try:
        there = Surveyor(crew, 2).survey(clips)
        assert len(workers()) == len(crew.workers) > 0
    finally:
        crew.end()
    assert list(there) == list(here)
    for clip_id, found in there.items():
        assert (found.frame_size, found.identity, found.error) == (
            here[clip_id].frame_size,
            here[clip_id].identity,
            here[clip_id].error,
        )
        if found.source is not None:
            assert list(found.source.numbers()) == list(here[clip_id].opened().numbers())
    assert Surveyor(Crew(), 2).survey(clips[:1])["a"].error is None
    assert workers() == []


def test_a_signal_ends_a_run_whose_decoder_hangs(tmp_path, clips):
    """FFmpeg, interrupted by a signal, reports an error; in the command's own process that was the clip's failure, and
    nobody heard the signal.
    """
    process = start("extract", clips[1].source, "-o", tmp_path / "out")
    with when_it_hangs(tmp_path / "clips" / "pipe", lambda _: process.send_signal(signal.SIGTERM)):
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (3, "")
    assert stderr == f"flowkit: {tmp_path / 'out'} is not finished; run the same command again to continue\n"
