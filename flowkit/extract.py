"""Extraction: plan, run what is not yet done, commit. The loop is the same for every engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowkit.commit import Commit, claimed, finished, remove_temporary
from flowkit.datasets import clips_from
from flowkit.engines import Engine, open_engine
from flowkit.plan import Unit, make_units, run_metadata, settle_plan
from flowkit.request import ExtractRequest
from flowkit.types import Clip, Interrupted, TVL1Params
from flowkit.unit import Job

Report = Callable[["Summary"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How far a run is: counts of pairs, but for the units."""

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
    units: int
    units_done: int

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
    report: Report | None = None,
) -> Summary:
    """Computes the motion cubes of all planned pairs into shards under OUT, or finishes what an earlier run began.

    Args:
        source: a manifest (.parquet, .csv), a video, a folder of frames, a folder of either; or clips.
        pairs: the pair plan, as "onset-apex" or "lag:1"; None for onset-apex where a clip has an apex, else lag:1.
        preset, params: the solver's parameters, see `flowkit.types.resolve_params`.
        size: side or (height, width) in pixels to resize to before the flow; None for no resizing.
        face: "none" or "boxes:FILE", see `flowkit.faces.parse_face`.
        strain: how the third channel is computed, see `flowkit.strain_magnitude`.
        dtype: of the cubes, "float32" or "float16".
        device: "cpu", or "cuda" for every GPU that this build can use. Outputs of the two are kept apart.
        batch: pairs the solver gets at once, 32 or on a GPU up to 1024 by default; does not change the result.
        frame_base: number of a video's first frame, where the source is no manifest.
        engine: "local", "ray", or an object with the method of `flowkit.engines.Engine`.
        workers: see `flowkit.engines.open_engine`.
        retry_failed: compute the units that hold failed pairs again.
        report: is called with the state of the run, first before any unit and then after each.

    Returns:
        The final counts; pairs that could not be computed are counted in `failed` and listed under OUT/failures.

    Raises:
        InputError: for arguments that cannot be used.
        OutputError: if OUT is something else, or was made with other parameters or from other clips.
        Interrupted: on Ctrl-C, a full disk or lost workers; the same call continues where this one stopped.
    """
    out = Path(out).absolute()
    clips = clips_from(Path(source), frame_base=frame_base) if isinstance(source, str | Path) else list(source)
    request = ExtractRequest.parse(
        pairs=pairs or default_pairs(clips),
        preset=preset,
        params=params,
        size=size,
        face=face,
        strain=strain,
        dtype=dtype,
        device=device,
        batch=batch,
    )
    options = {"workers": workers, "ray_address": ray_address, "device": device}
    chosen = open_engine(engine, **options) if isinstance(engine, str) else engine  # type: ignore[arg-type]
    with claimed(out):
        try:
            units = make_units(clips, request)
            metadata = run_metadata(clips, request)
            settle_plan(out, units, metadata)
            return _run(units, Job(out, request, metadata), chosen, retry_failed, report)
        except KeyboardInterrupt:
            raise Interrupted(f"{out} is not finished; run the same command again to continue") from None
        finally:
            remove_temporary(out)


def default_pairs(clips: Sequence[Clip]) -> str:
    """The pair plan where none is asked for."""
    return "onset-apex" if any(clip.apex is not None for clip in clips) else "lag:1"


def _run(units: Sequence[Unit], job: Job, engine: Engine, retry_failed: bool, report: Report | None) -> Summary:
    done = {
        number: commit
        for number, commit in finished(job.out).items()
        if commit.parameters_hash == job.request.parameters_hash and not (retry_failed and commit.failed)
    }
    todo = [unit for unit in units if unit.number not in done]
    planned = sum(len(unit.pairs) for unit in units)
    now: list[Commit] = []
    start = time.perf_counter()

    def state() -> Summary:
        return Summary(
            out=job.out,
            planned=planned,
            computed=sum(commit.computed for commit in done.values()),
            failed=sum(commit.failed for commit in done.values()),
            computed_now=sum(commit.computed for commit in now),
            failed_now=sum(commit.failed for commit in now),
            seconds=time.perf_counter() - start,
            units=len(units),
            units_done=len(done),
        )

    if report:
        report(state())
    commits = engine.run(todo, job)
    try:
        for commit in commits:
            done[commit.unit] = commit
            now.append(commit)
            if report:
                report(state())
    finally:
        # At once, not when the garbage collector comes: closing ends the workers.
        if hasattr(commits, "close"):
            commits.close()
    return state()
