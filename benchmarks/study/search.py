"""The search for a preset: change one to three fields at random, keep what is better; every gain is logged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.study.goals import Goal
from benchmarks.study.measures import Method, score
from benchmarks.study.peers import solver
from benchmarks.study.scenes import Example
from flowkit.params import TVL1Params

Step = dict[str, Any]

_FACTORS = {"lambda_": (0.01, 1.0), "theta": (0.01, 1.0), "tau": (0.05, 0.25), "residual_scale": (0.5, 30.0)}
_SHIFTS = {
    "smoothing": (0.0, 2.0, 0.2),
    "pyramid_blur": (0.0, 1.2, 0.15),
    "scale": (0.4, 0.85, 0.07),
    "patch_sigma": (0.5, 4.0, 0.3),
}
_COUNTS = {"warps": (1, 12), "inner_iterations": (1, 80), "outer_iterations": (1, 4), "min_side": (6, 40)}
_CHOICES: dict[str, tuple[Any, ...]] = {
    "median": (0, 3, 5),
    "cubic": (-0.5, -0.6, -0.75),
    "border": ("off", "off-taps", "clamp"),
    "derivative": ("central3", "central5"),
    "pyramid_kernel": ("linear", "cubic"),
    "upsampling": ("linear", "cubic"),
    "data_term": ("pixel", "patch"),
    "affine_reference": (False, True),
    "carry_dual": (False, True),
}


def mutate(params: TVL1Params, rng: np.random.Generator) -> TVL1Params:
    """A copy with one to three fields changed."""
    names = [*_FACTORS, *_SHIFTS, *_COUNTS, *_CHOICES]
    weights = np.array([3.0 if name in _FACTORS or name in _SHIFTS or name in _COUNTS else 1.0 for name in names])
    chosen = rng.choice(names, size=rng.integers(1, 4), replace=False, p=weights / weights.sum())
    changes: dict[str, Any] = {}
    for name in (str(name) for name in chosen):
        value = getattr(params, name)
        if name in _FACTORS:
            low, high = _FACTORS[name]
            changes[name] = float(f"{np.clip(value * np.exp(0.35 * rng.standard_normal()), low, high):.2g}")
        elif name in _SHIFTS:
            low, high, width = _SHIFTS[name]
            changes[name] = round(float(np.clip(value + width * rng.standard_normal(), low, high)), 2)
        elif name in _COUNTS:
            low, high = _COUNTS[name]
            step = max(1.0, 0.3 * value) * rng.standard_normal()
            changes[name] = int(np.clip(round(value + (step if abs(step) >= 0.5 else np.sign(step))), low, high))
        else:
            changes[name] = _CHOICES[name][rng.integers(len(_CHOICES[name]))]
    return params.replace(**changes)


def search(
    goal: Goal, peer: Method, examples: Sequence[Example], trials: int, say: Callable[[str], None] = print
) -> tuple[TVL1Params, list[Step]]:
    """The best parameters found, and the path there. What exceeds a limit or the time is added to the value."""
    rng = np.random.default_rng(goal.seed)
    runs = [score(peer, examples) for _ in range(3)]
    reference, unit = runs[0], min(run.seconds for run in runs)
    best, best_value, path = goal.start, np.inf, list[Step]()
    for trial in range(trials):
        params = goal.start if trial == 0 else mutate(best, rng)
        if trial and params == best:
            continue
        found = score(solver(params), examples)
        ratio = found.seconds / unit
        value = found.relative_to(reference) + found.excess(reference, goal.limits) + max(0, ratio / goal.most_time - 1)
        if value < best_value:
            changes = {k: v for k, v in params.to_dict().items() if trial == 0 or v != getattr(best, k)}
            path.append({"trial": trial, "value": round(value, 4), "time": round(ratio, 2), "changes": changes})
            best, best_value = params, value
            say(f"trial {trial:4} value {value:+.4f} time {ratio:.2f} {changes if trial else ''}")
    return best, path
