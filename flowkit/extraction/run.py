"""Extraction: plan, run what is not yet done, commit. The loop is the same for every engine."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowkit.datasets import clips_from
from flowkit.errors import Interrupted
from flowkit.extraction.disk import bytes_to_write, require_room
from flowkit.extraction.engines import crew_for, open_engine
from flowkit.extraction.engines.engine import Engine
from flowkit.extraction.engines.survey import survey_apart
from flowkit.extraction.part import Job
from flowkit.extraction.plan import Part, make_parts
from flowkit.extraction.reasons import frequent_reasons
from flowkit.extraction.request import ExtractRequest
from flowkit.extraction.resume import settle_plan
from flowkit.output.commit import Commit, finished
from flowkit.output.writer import claimed, remove_superseded
from flowkit.params import TVL1Params
from flowkit.types import Clip

Report = Callable[["Summary"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How far a run is: counts of pairs, but for the parts."""

    out: Path
    planned: int
    computed: int
    """Of all runs into OUT."""
    failed: int
    computed_now: int
    """Of this run."""
    failed_now: int
    seconds: float
    """Since this run has begun to compute."""
    parts: int
    parts_done: int
    bytes_to_write: int = 0
    """While it runs: about how many there were to write when it began."""
    reasons: tuple[tuple[str, int], ...] = ()
    """At the end: why pairs have failed, without the clip's id, and how many pairs; the most frequent first."""

    @property
    def pairs_per_second(self) -> float:
        """Of this run; 0 while it has done nothing."""
        return (self.computed_now + self.failed_now) / self.seconds if self.seconds > 0 else 0.0


def extract(
    source: str | Path | Sequence[Clip],
    out: str | Path,
    *,
    pairs: str | None = None,
    preset: str = "micro",
    params: TVL1Params | Mapping[str, Any] | None = None,
    size: int | tuple[int, int] | str | None = None,
    face: str = "none",
    strain: str = "standard",
    dtype: str = "float32",
    device: str = "cpu",
    batch: int | None = None,
    frame_base: int | None = None,
    engine: str | Engine = "local",
    ray_address: str | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    accept_changes: bool = False,
    time_limit_s: float | None = None,
    report: Report | None = None,
) -> Summary:
    """Computes the motion cubes of all planned pairs into shards under OUT, or finishes what an earlier run began.

    Args:
        source: a manifest (.parquet, .csv), a video, a folder of frames, a folder of either; or clips.
        pairs: the pair plan, as "onset-apex" or "lag:1"; None for onset-apex where a clip has an apex, else lag:1.
        preset, params: the solver's parameters, see `flowkit.params.resolve_params`.
        size: side or (height, width) in pixels to resize to before the flow; None for no resizing.
        face: "none" or "boxes:FILE", see `flowkit.faces.boxes.parse_face`.
        strain: how the third channel is computed, see `flowkit.strain_magnitude`.
        dtype: of the cubes, "float32" or "float16".
        device: "cpu", or "cuda" for every GPU that this build can use. Outputs of the two are kept apart.
        batch: pairs the solver gets at once, 32 or on a GPU up to 1024 by default; does not change the result.
        frame_base: number of a video's first frame, where the source is no manifest.
        engine: "local", "ray", or an object with the method of `flowkit.extraction.engines.Engine`.
        workers: see `flowkit.extraction.engines.open_engine`.
        retry_failed: compute the parts that hold failed pairs again.
        accept_changes: continue OUT although frames or decoders are not those it was begun with, and record it.
        time_limit_s: for a part, or the survey of a video, on a worker process, see `open_engine`.
        report: is called with the state of the run, first before any part and then after each.

    Returns:
        The final counts; pairs that could not be computed are counted in `failed` and listed under OUT/failures.

    Raises:
        InputError: for arguments that cannot be used.
        OutputError: if OUT is something else, or was made with other parameters, or from other clips or frames.
        Interrupted: on Ctrl-C, a disk that is or would be full, or lost workers; the same call continues.
    """
    out = Path(out).absolute()
    try:
        with _no_collection():
            clips = clips_from(Path(source), frame_base=frame_base) if isinstance(source, str | Path) else list(source)
        request = ExtractRequest.parse(
            pairs=default_pairs(clips) if pairs is None else pairs,
            preset=preset,
            params=params,
            size=size,
            face=face,
            strain=strain,
            dtype=dtype,
            device=device,
            batch=batch,
        )
        options = {"workers": workers, "ray_address": ray_address, "device": device, "time_limit_s": time_limit_s}
        chosen = open_engine(engine, **options) if isinstance(engine, str) else engine  # type: ignore[arg-type]
        with claimed(out) as alone, crew_for(chosen, time_limit_s) as crew:
            with _no_collection():
                surveys = survey_apart(clips, crew, workers)
                parts = make_parts(clips, request, surveys)
                metadata = request.metadata(clips)
                settle_plan(out, parts, surveys, metadata, accept_changes=accept_changes, retry_failed=retry_failed)
            commits = finished(out)
            remove_superseded(out, commits.values(), alone)
            needed = bytes_to_write(out, parts, request)
            require_room(out, needed)
            if report:
                report = _with_size(report, needed)
            return _run(parts, commits, Job(out, request, metadata), chosen, retry_failed, report)
    except KeyboardInterrupt:
        raise Interrupted(f"{out} is not finished; run the same command again to continue") from None
    finally:
        gc.unfreeze()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Holds the garbage collector off while clips and pairs are made, and leaves them out of its later rounds: there
    may be millions, and all of them stay until the run ends, which unfreezes them.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if collects:
            gc.enable()


def _with_size(report: Report, bytes_to_write: int) -> Report:
    return lambda state: report(dataclasses.replace(state, bytes_to_write=bytes_to_write))


def default_pairs(clips: Sequence[Clip]) -> str:
    """The pair plan where none is asked for."""
    return "onset-apex" if any(clip.apex is not None for clip in clips) else "lag:1"


def _run(
    parts: Sequence[Part],
    commits: Mapping[int, Commit],
    job: Job,
    engine: Engine,
    retry_failed: bool,
    report: Report | None,
) -> Summary:
    parameters_hash = job.request.parameters_hash  # which takes milliseconds, and there may be thousands of commits
    done = {
        number: commit
        for number, commit in commits.items()
        if commit.parameters_hash == parameters_hash and not (retry_failed and commit.failed)
    }
    todo = [part for part in parts if part.number not in done]
    tally = _Tally(job.out, sum(len(part.pairs) for part in parts), len(parts))
    for commit in done.values():
        tally.add(commit, now=False)
    tally.begin()
    if report:
        report(tally.state())
    running = engine.run(todo, job)
    try:
        for commit in running:
            tally.add(commit, now=True)
            if report:
                report(tally.state())
    finally:
        # At once, not when the garbage collector comes: closing ends the workers.
        if hasattr(running, "close"):
            running.close()
    return tally.final()


class _Tally:
    """Counts pairs as parts are done."""

    def __init__(self, out: Path, planned: int, parts: int) -> None:
        self._out, self._planned, self._parts = out, planned, parts
        self._done = self._computed = self._failed = self._computed_now = self._failed_now = 0
        self._failing: list[Commit] = []
        """Parts with failures, in the order of their adding."""
        self._start = time.perf_counter()

    def begin(self) -> None:
        """Starts the clock."""
        self._start = time.perf_counter()

    def add(self, commit: Commit, now: bool) -> None:
        """Counts a part that was done now or by an earlier run."""
        self._done += 1
        self._computed += commit.computed
        self._failed += commit.failed
        if now:
            self._computed_now += commit.computed
            self._failed_now += commit.failed
        if commit.failed:
            self._failing.append(commit)

    def state(self) -> Summary:
        """The counts."""
        return Summary(
            out=self._out,
            planned=self._planned,
            computed=self._computed,
            failed=self._failed,
            computed_now=self._computed_now,
            failed_now=self._failed_now,
            seconds=time.perf_counter() - self._start,
            parts=self._parts,
            parts_done=self._done,
        )

    def final(self) -> Summary:
        """The counts at the end, and the reasons."""
        state = self.state()
        return dataclasses.replace(state, reasons=frequent_reasons(self._out, reversed(self._failing)))
