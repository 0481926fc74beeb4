"""The peers that flowkit is compared with, called with its parameters."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.params import TVL1Params


def cv2_flow(
    frame0: NDArray[np.generic],
    frame1: NDArray[np.generic],
    params: TVL1Params,
    initial_flow: NDArray[np.floating] | None = None,
) -> NDArray[np.float32]:
    """The (2, h, w) flow of OpenCV's CPU version, for what it has parameters for.

    A new object each time, because `calc` shrinks its own number of scales for good.
    """
    solver = cv2.optflow.DualTVL1OpticalFlow_create()
    solver.setTau(params.tau)
    solver.setLambda(params.lambda_)
    solver.setTheta(params.theta)
    solver.setEpsilon(params.epsilon)
    solver.setScalesNumber(params.levels)
    solver.setScaleStep(params.scale)
    solver.setWarpingsNumber(params.warps)
    solver.setOuterIterations(params.outer_iterations)
    solver.setInnerIterations(params.inner_iterations)
    solver.setMedianFiltering(params.median or 1)
    start = None
    if initial_flow is not None:
        solver.setUseInitialFlow(True)
        start = np.ascontiguousarray(np.moveaxis(initial_flow, 0, -1), np.float32)
    return np.moveaxis(solver.calc(frame0, frame1, start), -1, 0)
