"""TV-L1 optical flow in float64, restated from docs/algorithm.md and the papers, independent of csrc/.

C. Zach, T. Pock, H. Bischof, A Duality Based Approach for Realtime TV-L1 Optical Flow, DAGM 2007;
J. Sanchez, E. Meinhardt-Llopis, G. Facciolo, TV-L1 Optical Flow Estimation, IPOL 3 (2013).

Whole-image steps are NumPy, per-pixel ones numba loops; nothing here is tuned.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from flowkit.params import TVL1Params

Image = NDArray[np.float64]
Flow = NDArray[np.float64]


def tvl1_flow(
    frame0: ArrayLike, frame1: ArrayLike, params: TVL1Params, initial_flow: ArrayLike | None = None
) -> tuple[Flow, int]:
    """Flow (2, h, w), order (u, v), px, between two (h, w) images on 0..255, and how many iterations it took in all."""
    image0, image1 = prepare(np.asarray(frame0, float), np.asarray(frame1, float), params)
    pyramid0, pyramid1 = build_pyramid(image0, params), build_pyramid(image1, params)
    if not params.high_pass_residual:
        pyramid0, pyramid1 = ([high_passed(level, params) for level in pyramid] for pyramid in (pyramid0, pyramid1))
    flow = np.zeros((2, *image0.shape)) if initial_flow is None else np.array(initial_flow, float)
    for level in pyramid0[1:]:
        flow = params.scale * resize(flow, level.shape, 1 / params.scale, 1 / params.scale, "linear", params.grid)
    total = 0
    dual = np.zeros((2, *flow.shape))  # [of u or v][along x or y]
    for s in reversed(range(len(pyramid0))):
        if flow.shape[1:] != pyramid0[s].shape:
            flow = upsample(flow, pyramid0[s].shape, params)
            dual = next_dual(dual, pyramid0[s].shape, params)
        warps = params.coarse_warps if s > 0 and params.coarse_warps else params.warps
        flow, iterations = solve_level(pyramid0[s], pyramid1[s], flow, dual, params.replace(warps=warps))
        total += iterations
    if params.flow_smoothing:
        flow = keep_edges(flow, params)
    surroundings = gaussian_of_both(flow, 2 * params.refit_sigma) if params.refit_credit else flow
    for step in range(params.refit_steps):
        wide = params.refit_widening if step == 0 else 1.0
        departure = flow - surroundings if params.refit_credit else 0 * flow
        flow = refit(pyramid0[0], pyramid1[0], flow, departure, params, wide)
    return flow, total


def prepare(image0: Image, image1: Image, params: TVL1Params) -> tuple[Image, Image]:
    """Joint stretch to 0..255 and smoothing, where asked for."""
    if params.stretch:
        low, high = min(image0.min(), image1.min()), max(image0.max(), image1.max())
        if high > low:
            image0, image1 = ((255 * (image - low) / (high - low)) for image in (image0, image1))
    return gaussian(image0, params.smoothing), gaussian(image1, params.smoothing)


def gaussian(image: Image, sigma: float) -> Image:
    """Separable Gaussian, radius ceil(4 sigma), sum 1, replicated borders."""
    if sigma == 0:
        return image
    radius = math.ceil(4 * sigma)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    weights /= weights.sum()
    for axis in (0, 1):
        n = image.shape[axis]
        taps = np.clip(np.arange(n)[:, None] + offsets, 0, n - 1)
        image = np.moveaxis(np.moveaxis(image, axis, -1)[..., taps] @ weights, -1, axis)
    return image


def level_sizes(h: int, w: int, params: TVL1Params) -> list[tuple[int, int]]:
    """(height, width) of each level, finest first."""
    count = params.levels
    if params.depth == "diagonal":
        deepest = 1 + math.floor(math.log(math.hypot(w, h) / params.min_side) / math.log(1 / params.scale))
        count = min(count, max(deepest, 1))
    sizes = [(h, w)]
    while len(sizes) < count:
        h, w = round(h * params.scale), round(w * params.scale)  # an exact half goes to the even neighbour
        if min(h, w) < (params.min_side if params.depth == "side" else 3) or h == sizes[-1][0] or w == sizes[-1][1]:
            break
        sizes.append((h, w))
    return sizes


def build_pyramid(image: Image, params: TVL1Params) -> list[Image]:
    pyramid = [image]
    r = 1 / params.scale
    for size in level_sizes(*image.shape, params)[1:]:
        blurred = gaussian(pyramid[-1], params.pyramid_blur * math.sqrt(r**2 - 1))
        pyramid.append(resize(blurred, size, r, r, params.pyramid_kernel, params.grid))
    return pyramid


def high_passed(image: Image, params: TVL1Params) -> Image:
    """The image without its local mean, where asked for."""
    return image - gaussian(image, params.high_pass) if params.high_pass else image


def upsample(flow: Flow, size: tuple[int, int], params: TVL1Params) -> Flow:
    """The flow of a level on the next finer one."""
    ry, rx = flow.shape[1] / size[0], flow.shape[2] / size[1]
    finer = resize(flow, size, ry, rx, params.upsampling, params.grid)
    if params.upsampling_exact:
        return finer * np.array([1 / rx, 1 / ry])[:, None, None]
    return finer / params.scale


def next_dual(dual: Image, size: tuple[int, int], params: TVL1Params) -> Image:
    """The dual variables that the next finer level starts from."""
    if not params.carry_dual:
        return np.zeros((2, 2, *size))
    finer = resize(dual, size, dual.shape[2] / size[0], dual.shape[3] / size[1], "linear", params.grid)
    finer[:, 0, :, -1] = 0
    finer[:, 1, -1, :] = 0
    return finer


def resize(
    images: NDArray[np.float64], size: tuple[int, int], ry: float, rx: float, kernel: str, grid: str
) -> NDArray[np.float64]:
    """Images (..., h, w) resampled to `size`, one output pixel being ry by rx input pixels."""
    rows = resampling_matrix(images.shape[-2], size[0], ry, kernel, grid)
    columns = resampling_matrix(images.shape[-1], size[1], rx, kernel, grid)
    return rows @ images @ columns.T


def resampling_matrix(n_in: int, n_out: int, r: float, kernel: str, grid: str) -> NDArray[np.float64]:
    """(n_out, n_in): linear or Catmull-Rom interpolation at each output sample's place, taps clamped to the image."""
    i = np.arange(n_out)
    position = (i + 0.5) * r - 0.5 if grid == "centre" else i * r
    base = np.floor(position).astype(int)
    matrix = np.zeros((n_out, n_in))
    for k in (0, 1) if kernel == "linear" else (-1, 0, 1, 2):
        distance = np.abs(position - (base + k))
        weight = 1 - distance if kernel == "linear" else np.array([cubic_weight(t, -0.5) for t in distance])
        np.add.at(matrix, (i, np.clip(base + k, 0, n_in - 1)), weight)
    return matrix


@njit(cache=True)
def cubic_weight(t: float, a: float) -> float:
    """The cubic convolution kernel of parameter a at distance t (R. Keys, 1981)."""
    t = abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    if t < 2:
        return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    return 0.0


def derivatives(image: Image, scheme: str) -> tuple[Image, Image]:
    """d/dx and d/dy by 3 or 5 points, indices clamped to the image."""
    padded = np.pad(image, 2, mode="edge")
    h, w = image.shape

    def shifted(dy: int, dx: int) -> Image:
        return padded[2 + dy : 2 + dy + h, 2 + dx : 2 + dx + w]

    def along(dy: int, dx: int) -> Image:
        near = shifted(dy, dx) - shifted(-dy, -dx)
        if scheme == "central3":
            return near / 2
        return (8 * near - (shifted(2 * dy, 2 * dx) - shifted(-2 * dy, -2 * dx))) / 12

    return along(0, 1), along(1, 0)


def warp(image: Image, flow: Flow, a: float, border: str) -> tuple[Image, NDArray[np.bool_]]:
    """The image sampled at (x + u, y + v), and where the data term is on."""
    return _warp(image, flow, a, border == "zero", border == "off", border == "off-taps")


@njit(cache=True)
def _warp(image, flow, a, zero_outside, off_outside, off_taps):
    h, w = image.shape
    out = np.zeros((h, w))
    on = np.ones((h, w), np.bool_)
    for y in range(h):
        for x in range(w):
            px, py = x + flow[0, y, x], y + flow[1, y, x]
            left, top = math.floor(px) - 1, math.floor(py) - 1
            total = 0.0
            for j in range(top, top + 4):
                for i in range(left, left + 4):
                    if zero_outside and not (0 <= i < w and 0 <= j < h):
                        continue
                    weight = cubic_weight(px - i, a) * cubic_weight(py - j, a)
                    total += weight * image[min(max(j, 0), h - 1), min(max(i, 0), w - 1)]
            out[y, x] = total
            if off_outside:
                on[y, x] = 0 <= px <= w - 1 and 0 <= py <= h - 1
            if off_taps:
                on[y, x] = left >= 0 and left + 3 < w and top >= 0 and top + 3 < h
    return out, on


def median(image: Image, side: int) -> Image:
    """Median of side x side pixels, replicated borders."""
    if side == 0:
        return image
    padded = np.pad(image, side // 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, (side, side)), axis=(-2, -1))


def solve_level(image0: Image, image1: Image, flow: Flow, dual: Image, params: TVL1Params) -> tuple[Flow, int]:
    """All warps of one level from a start flow; also the number of iterations. Changes `dual`."""
    total = 0
    for _ in range(params.warps):
        gx, gy, rho = linearise(image0, image1, flow, params)
        rho_c = rho - gx * flow[0] - gy * flow[1]
        patch = patch_steps(flow, gx, gy, rho_c, params) if params.data_term == "patch" else None
        flow, iterations = iterate(flow, dual, gx, gy, rho_c, params, patch)
        total += iterations
    return flow, total


def linearise(image0: Image, image1: Image, flow: Flow, params: TVL1Params) -> tuple[Image, Image, Image]:
    """The warped gradient of I1 and the residual at the flow, all 0 where the data term is off."""
    warped, on = warp(image1, flow, params.cubic, params.border)
    rho = (warped - image0) * on
    if params.high_pass and params.high_pass_residual:
        image1 = high_passed(image1, params)
        mean_on = np.maximum(gaussian(on.astype(float), params.high_pass), 1e-6)
        rho = (rho - gaussian(rho, params.high_pass) / mean_on) * on
    gx, gy = (warp(d, flow, params.cubic, params.border)[0] * on for d in derivatives(image1, params.derivative))
    return gx, gy, rho


def gaussian_of_both(flow: Flow, sigma: float) -> Flow:
    return np.stack([gaussian(component, sigma) for component in flow])


def keep_edges(flow: Flow, params: TVL1Params) -> Flow:
    """The flow's mean, and of what departs from it the share that is an edge."""
    mean = gaussian_of_both(flow, params.flow_smoothing)
    squares = ((flow - mean) ** 2).sum(axis=0)
    return mean + squares / (squares + params.flow_edge**2) * (flow - mean)


def refit(image0: Image, image1: Image, flow: Flow, departure: Flow, params: TVL1Params, wide: float) -> Flow:
    """One refit step: the least-squares motion of a wide patch, where it is significant, smoothed and added."""
    h, w = flow.shape[1:]
    sigma = wide * params.refit_sigma
    gx, gy, rho = (np.pad(plane[1:-1, 1:-1], 1) for plane in linearise(image0, image1, flow, params))
    mean = functools.partial(gaussian, sigma=sigma)
    m = np.array([[mean(gx * gx), mean(gx * gy)], [mean(gx * gy), mean(gy * gy)]]).transpose(2, 3, 0, 1)
    b = np.array([mean(gx * rho), mean(gy * rho)]).transpose(1, 2, 0)
    m = m + (1e-3 * np.trace(m, axis1=2, axis2=3) + 1e-6)[..., None, None] * np.eye(2)
    explained = np.einsum("yxi,yxi->yx", b, np.linalg.solve(m, b[..., None])[..., 0])
    noise = np.maximum(mean(rho * rho) - explained, 0.3**2)
    count = 4 * math.pi * sigma**2
    y, x = (inside_share(n, sigma) for n in (h, w))
    significance = count * explained / noise * np.outer(y, x)
    ridged = m + (noise / (count * 0.3**2))[..., None, None] * np.eye(2)
    step = -np.linalg.solve(ridged, b[..., None])[..., 0].transpose(2, 0, 1)
    usual = np.minimum(significance, 8).mean()
    in_common = np.einsum("iyx,yxij,jyx->yx", departure, m, step)
    significance += np.clip(2 * in_common * count / noise * np.outer(y, x), 0, params.refit_credit)
    if usual > 0:
        significance *= min(1, 1.8 / usual)
    significance *= np.minimum(1, params.refit_noise_limit / (noise * (1 / noise).mean()))
    share = np.clip((significance - params.refit_from) / (params.refit_whole - params.refit_from), 0, 1)
    return flow + np.stack([gaussian(share * part, wide * params.refit_smoothing) for part in step])


def inside_share(n: int, sigma: float) -> NDArray[np.float64]:
    """About which share of a patch is inside an axis of n pixels, at each of them."""
    from_border = np.minimum(np.arange(n), np.arange(n)[::-1])
    return np.minimum(1, 0.5 + from_border / (3 * sigma))


def affine_gradient(flow: Flow) -> NDArray[np.float64]:
    """[[du/dx, du/dy], [dv/dx, dv/dy]] of the least-squares affine fit, faded out where it explains little."""
    h, w = flow.shape[1:]
    y, x = np.mgrid[:h, :w].reshape(2, -1)
    design = np.stack([np.ones(h * w), x, y], axis=1)
    values = flow.reshape(2, -1).T
    coefficients, *_ = np.linalg.lstsq(design, values, rcond=None)
    total = ((values - values.mean(axis=0)) ** 2).sum()
    if total == 0:
        return np.zeros((2, 2))
    explained = 1 - ((values - design @ coefficients) ** 2).sum() / total
    return np.clip((explained - 0.8) / 0.1, 0, 1) * coefficients[1:].T


def patch_steps(flow: Flow, gx: Image, gy: Image, rho_c: Image, params: TVL1Params) -> tuple[Image, Image]:
    """Matrices (h, w, 2, 2) and shifts (h, w, 2) of the patch data step, solved as 2 x 2 systems."""
    mean = functools.partial(gaussian, sigma=params.patch_sigma)
    rho = rho_c + gx * flow[0] + gy * flow[1]
    excess = 1 + mean(rho**2) / params.residual_scale**2
    trust = 1 / (excess if params.residual_norm == "cauchy" else np.sqrt(excess))
    moments = np.array([[mean(gx * gx), mean(gx * gy)], [mean(gx * gy), mean(gy * gy)]]).transpose(2, 3, 0, 1)
    shift = np.array([mean(gx * rho_c), mean(gy * rho_c)]).transpose(1, 2, 0)
    weight = params.lambda_ * params.theta * trust[..., None]
    system = np.eye(2) + weight[..., None] * moments
    return np.linalg.inv(system), np.linalg.solve(system, -(weight * shift)[..., None])[..., 0]


def iterate(
    flow: Flow,
    dual: Image,
    gx: Image,
    gy: Image,
    rho_c: Image,
    params: TVL1Params,
    patch: tuple[Image, Image] | None = None,
) -> tuple[Flow, int]:
    """The primal-dual iterations of one warp, up to the stop; changes `dual`."""
    limit = params.epsilon**2
    counter = 0.0
    n = 0
    affine = affine_gradient(flow) if params.affine_reference else np.zeros((2, 2))
    flow = flow.copy()
    for _ in range(params.outer_iterations):
        flow = np.stack([median(flow[0], params.median), median(flow[1], params.median)])
        for _ in range(params.inner_iterations):
            if patch is None:
                error = primal_step(flow, dual, gx, gy, rho_c, params.lambda_, params.theta, params.gradient_floor)
            else:
                moved = np.einsum("yxij,jyx->iyx", patch[0], flow) + patch[1].transpose(2, 0, 1)
                before, flow = flow, moved + params.theta * divergences(dual)
                error = ((flow - before) ** 2).sum(axis=0).mean()
            for p, z, (ax, ay) in zip(dual, flow, affine, strict=True):
                dual_step(p, z, params.tau / params.theta, ax, ay)
            n += 1
            tested = limit > 0
            if params.stop_rule == "cadenced":
                tested = tested and n % 2 == 0 and counter < limit  # n counts from 1 here: even is OpenCV's odd
                counter = error if tested else counter - limit
            if tested and error <= limit:
                return flow, n
    return flow, n


@njit(cache=True)
def primal_step(flow, dual, gx, gy, rho_c, lambda_, theta, floor):
    """Thresholding and primal update, in place; returns the mean squared change."""
    h, w = rho_c.shape
    bound = lambda_ * theta
    change = 0.0
    for y in range(h):
        for x in range(w):
            u, v = flow[0, y, x], flow[1, y, x]
            g2 = gx[y, x] ** 2 + gy[y, x] ** 2
            rho = rho_c[y, x] + gx[y, x] * u + gy[y, x] * v
            step = 0.0
            if rho < -bound * g2:
                step = bound
            elif rho > bound * g2:
                step = -bound
            elif g2 > floor:
                step = -rho / g2
            flow[0, y, x] = u + step * gx[y, x] + theta * divergence(dual[0], y, x)
            flow[1, y, x] = v + step * gy[y, x] + theta * divergence(dual[1], y, x)
            change += (flow[0, y, x] - u) ** 2 + (flow[1, y, x] - v) ** 2
    return change / (h * w)


@njit(cache=True)
def divergences(dual):
    """div p of u and of v at every pixel."""
    out = np.empty((2, dual.shape[2], dual.shape[3]))
    for component in range(2):
        for y in range(dual.shape[2]):
            for x in range(dual.shape[3]):
                out[component, y, x] = divergence(dual[component], y, x)
    return out


@njit(cache=True)
def divergence(p, y, x):
    """Backward differences, p outside the image 0: the negative adjoint of the forward differences."""
    div = p[0, y, x] + p[1, y, x]
    if x > 0:
        div -= p[0, y, x - 1]
    if y > 0:
        div -= p[1, y - 1, x]
    return div


@njit(cache=True)
def dual_step(p, z, sigma, ax, ay):
    """The dual update of a flow component z with p (2, h, w), in place; sigma = tau / theta, (ax, ay) the reference."""
    h, w = z.shape
    for y in range(h):
        for x in range(w):
            zx = z[y, x + 1] - z[y, x] - ax if x + 1 < w else 0.0
            zy = z[y + 1, x] - z[y, x] - ay if y + 1 < h else 0.0
            shrink = 1 + sigma * math.hypot(zx, zy)
            p[0, y, x] = (p[0, y, x] + sigma * zx) / shrink
            p[1, y, x] = (p[1, y, x] + sigma * zy) / shrink
