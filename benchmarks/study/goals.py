"""What the searches are to find, and from where they start."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from benchmarks.study.peers import DIS_MEDIUM, OPENCV
from flowkit.params import TVL1Params


@dataclass(frozen=True)
class Goal:
    """Low errors relative to a peer, none above `limits` (multiples of the peer's endpoint error, by amplitude in px),
    in at most `most_time` times what the peer takes for the same pairs."""

    peer: str
    limits: dict[float, float]
    most_time: float
    start: TVL1Params
    trials: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


_START = TVL1Params(
    epsilon=0.0,
    levels=64,
    scale=0.5,
    outer_iterations=1,
    median=0,
    cubic=-0.5,
    border="off",
    derivative="central5",
    upsampling_exact=True,
    data_term="patch",
    patch_sigma=1.2,
    rounding="fast",
    affine_reference=True,
    carry_dual=True,
    smoothing=0.75,
    lambda_=0.09,
    theta=0.05,
    min_side=16,
    pyramid_blur=0.6,
    warps=4,
    inner_iterations=40,
)

GOALS = {
    "micro": Goal(
        peer=OPENCV,
        limits={0.1: 0.6, 0.2: 0.6, 0.5: 0.6, 1.0: 0.6, 2.0: 0.6, 3.0: 0.7, 5.0: 0.7, 10.0: 0.7},
        most_time=0.6,
        start=_START,
        trials=500,
        seed=1,
    ),
    "fast": Goal(
        peer=DIS_MEDIUM,
        limits={0.1: 0.5, 0.2: 0.5, 0.5: 0.5, 1.0: 0.5, 2.0: 0.5, 3.0: 0.7, 5.0: 0.7, 10.0: 0.7},
        most_time=0.95,
        start=_START.replace(warps=2, inner_iterations=18),
        trials=1000,
        seed=2,
    ),
}
