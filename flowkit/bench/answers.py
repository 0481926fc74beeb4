"""What makes a flow that was timed right or wrong."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowkit.bench.methods import DUAL_TVL1, OPENCV
from flowkit.bench.pairs import FacialPair, Flow
from flowkit.errors import FlowkitError

AGREEMENT_PX = 0.01
"""Preset opencv may differ from cv2's DualTVL1 by less than this, mean over a pair."""

MISTAKES: dict[str, Callable[[Flow], Flow]] = {
    "as no motion at all": np.zeros_like,
    "with u and v exchanged": lambda flow: flow[::-1],
    "with the other sign": np.negative,
    "with u of the other sign": lambda flow: np.stack([-flow[0], flow[1]]),
    "with v of the other sign": lambda flow: np.stack([flow[0], -flow[1]]),
}
"""A flow is wrong that would be nearer to truth after one of these."""


class WrongAnswer(FlowkitError):
    """A method's answer is not what it should be, so that its time means nothing."""


def endpoint_error(flow: NDArray[np.floating[Any]], truth: NDArray[np.floating[Any]]) -> float:
    """Mean length of the difference of two flows (2, h, w), px."""
    return float(np.hypot(*(flow - truth)).mean())


class Answers:
    """The errors of all methods on all pairs, each against the same truth."""

    def __init__(self) -> None:
        self._errors: dict[str, dict[FacialPair, float]] = {}
        self._mistaken: dict[str, dict[FacialPair, list[float]]] = {}
        self.difference_px: float | None = None
        """The largest of preset opencv from cv2's DualTVL1, mean over a pair; None where not both took part."""

    def add(self, batch: Sequence[FacialPair], flows: Mapping[str, Sequence[Flow]]) -> None:
        """Every method's flows of these pairs; raises WrongAnswer for one of another shape or not finite."""
        for name, answers in flows.items():
            errors, mistaken = self._errors.setdefault(name, {}), self._mistaken.setdefault(name, {})
            for pair, flow in zip(batch, answers, strict=True):
                if flow.shape != pair.truth.shape or not np.isfinite(flow).all():
                    wanted = f"wanted is a finite one of {pair.truth.shape}"
                    raise WrongAnswer(f"{name} gave a flow of shape {flow.shape}, {wanted}")
                errors[pair] = endpoint_error(flow, pair.truth)
                mistaken[pair] = [endpoint_error(change(flow), pair.truth) for change in MISTAKES.values()]
        if {OPENCV, DUAL_TVL1} <= flows.keys():
            both = zip(flows[OPENCV], flows[DUAL_TVL1], strict=True)
            self.difference_px = max(self.difference_px or 0.0, *(endpoint_error(*couple) for couple in both))

    def error_px(self, name: str) -> float:
        """Mean over the pairs."""
        return statistics.fmean(self._errors[name].values())

    def errors_px(self, name: str) -> dict[str, float]:
        """Mean over the pairs of each amplitude, px."""
        by_amplitude: dict[float, list[float]] = {}
        for pair, error in self._errors[name].items():
            by_amplitude.setdefault(pair.amplitude_px, []).append(error)
        return {f"{amplitude:g}": statistics.fmean(by_amplitude[amplitude]) for amplitude in sorted(by_amplitude)}

    def require_right(self) -> None:
        """WrongAnswer for a method that would be better as one of `MISTAKES`, or a preset opencv unlike cv2's.

        Judged by the mean over all pairs; of one pair that hardly moves, no motion may be the better guess.
        """
        for name, mistaken in self._mistaken.items():
            found = self.error_px(name)
            for words, each in zip(MISTAKES, zip(*mistaken.values(), strict=True), strict=True):
                error = statistics.fmean(each)
                if error < found:
                    raise WrongAnswer(f"{name} is {found:.3f} px from truth, and nearer {words} ({error:.3f} px)")
        if self.difference_px is None:
            return
        if self.difference_px >= AGREEMENT_PX:
            allowed = f"allowed is less than {AGREEMENT_PX}"
            raise WrongAnswer(f"preset opencv is {self.difference_px:.4f} px from {DUAL_TVL1}, {allowed}")
        ours, theirs = self.error_px(OPENCV), self.error_px(DUAL_TVL1)
        if ours > theirs + 1e-4:
            raise WrongAnswer(f"preset opencv is {ours:.4f} px from truth, {DUAL_TVL1} {theirs:.4f}")
