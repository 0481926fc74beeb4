"""Optical strain in float64, restated from docs/algorithm.md, independent of csrc/.

The two compatibility variants go through the very libraries that the published feature extractors use, so that they
check the page's reading of those programs too.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

Array = NDArray[np.float64]


def strain_tensor(flow: ArrayLike) -> Array:
    """(2, h, w) flow in px -> (3, h, w): exx, eyy, exy; central differences, one-sided at the border."""
    u, v = np.asarray(flow, float)
    uy, ux = np.gradient(u)
    vy, vx = np.gradient(v)
    return np.stack([ux, vy, (uy + vx) / 2])


def strain_magnitude(flow: ArrayLike, variant: str = "standard") -> Array:
    """(2, h, w) flow in px -> (h, w) magnitude: "standard" (Frobenius norm of the tensor), "meb" or "softnet"."""
    if variant == "meb":
        return _meb(*np.asarray(flow, float))
    if variant == "softnet":
        return _softnet(*np.asarray(flow, float))
    exx, eyy, exy = strain_tensor(flow)
    return np.sqrt(exx**2 + eyy**2 + 2 * exy**2)


def _meb(u: Array, v: Array) -> Array:
    """3 x 3 Sobel sums with zeros outside; the row derivative stands where d/dx should."""
    d_row_u, d_col_u = (ndimage.sobel(u, axis=axis, mode="constant") for axis in (0, 1))
    d_row_v, d_col_v = (ndimage.sobel(v, axis=axis, mode="constant") for axis in (0, 1))
    return np.sqrt(d_row_u**2 + d_col_v**2 + (d_col_u**2 + d_row_v**2) / 2)


def _softnet(u: Array, v: Array) -> Array:
    """Differences of a data frame and its shifted self; the last column, then the last row, filled from before."""
    u_frame, v_frame = pd.DataFrame(u), pd.DataFrame(v)
    ux = u_frame - u_frame.shift(-1, axis=1)
    vy = v_frame - v_frame.shift(-1, axis=0)
    uy = u_frame - u_frame.shift(-1, axis=0)
    vx = v_frame - v_frame.shift(-1, axis=1)
    magnitude = np.sqrt(ux**2 + vy**2 + ((uy + vx) ** 2) / 2)
    return magnitude.ffill(axis=1).ffill(axis=0).to_numpy()
