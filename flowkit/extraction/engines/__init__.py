"""Who runs the parts of an extraction: `local`, `ray`, and the GPU pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import TYPE_CHECKING

from flowkit.cpus import available_cpus
from flowkit.errors import InputError, whole
from flowkit.extraction.engines.engine import TIME_LIMIT_S, Engine

if TYPE_CHECKING:
    from flowkit.extraction.engines.crew import Crew

__all__ = ["Engine", "crew_for", "open_engine", "require_engine"]


def open_engine(
    name: str,
    *,
    workers: int | None = None,
    ray_address: str | None = None,
    device: str = "cpu",
    time_limit_s: float | None = None,
) -> Engine:
    """The engine of that name: "local" or "ray".

    Args:
        workers: processes (local) or actors (ray); None for one a CPU. With device "cuda", threads that decode (local),
            or actors with a GPU each (ray).
        ray_address: of a running cluster; None starts one on this machine.
        time_limit_s: for one part on a worker process of the engine local on the CPU, or on an actor of the engine ray,
            and for the survey of one video, and the look for the face of one clip; None for half an hour.

    Raises:
        InputError: for another name, fewer than one worker, a limit of no time, an address without ray, where Ray is
            not installed, or for device "cuda" without a GPU that can be used.
    """
    require_engine(name, workers=workers, ray_address=ray_address)
    if time_limit_s is not None and not (isinstance(time_limit_s, Real) and time_limit_s > 0):
        raise InputError(f"time_limit_s={time_limit_s!r}: give a number above 0")
    if name == "local":
        from flowkit.extraction.engines.crew import Crew
        from flowkit.extraction.engines.local import LocalEngine

        if device == "cuda":
            from flowkit.extraction.engines.cuda import cuda_devices
            from flowkit.extraction.engines.device_pipeline import GpuEngine

            return GpuEngine(cuda_devices(), workers or available_cpus())
        return LocalEngine(workers or available_cpus(), Crew(time_limit_s or TIME_LIMIT_S))
    from flowkit.extraction.engines.ray import RayEngine

    return RayEngine(workers, ray_address, device, time_limit_s or TIME_LIMIT_S)


def require_engine(name: str, *, workers: int | None = None, ray_address: str | None = None) -> None:
    """Raises InputError for a name that is no engine's, a number of workers that is none, or an address without ray."""
    if workers is not None and whole("workers", workers) < 1:
        raise InputError(f"workers={workers}: give at least 1")
    if name not in ("local", "ray"):
        raise InputError(f"engine={name!r} is unknown; choose local or ray")
    if name == "local" and ray_address is not None:
        raise InputError(f"ray_address={ray_address!r} is for the engine ray; choose it with --engine ray")


@contextmanager
def crew_for(engine: Engine, time_limit_s: float | None = None) -> Iterator[Crew]:
    """The worker processes of a `Surveyor`, which the engine local goes on with; leaving this context ends them.

    Args:
        time_limit_s: for one video or face, where the engine has no crew of its own; None for half an hour.
    """
    from flowkit.extraction.engines.crew import Crew
    from flowkit.extraction.engines.local import LocalEngine

    crew = engine.crew if isinstance(engine, LocalEngine) else Crew(time_limit_s or TIME_LIMIT_S, computes=False)
    try:
        yield crew
    finally:
        crew.end()
