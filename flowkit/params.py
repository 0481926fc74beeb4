"""Every choice that decides a TV-L1 flow, and the presets. docs/algorithm.md says what each means."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

from flowkit.errors import InputError

Border = Literal["zero", "clamp", "off", "off-taps"]
Derivative = Literal["central3", "central5"]
Interpolation = Literal["linear", "cubic"]
Grid = Literal["centre", "corner"]
Depth = Literal["side", "diagonal"]
StopRule = Literal["every", "cadenced"]
DataTerm = Literal["pixel", "patch"]
ResidualNorm = Literal["charbonnier", "cauchy"]
Rounding = Literal["opencv", "fast"]

MOST_OF_A_PATCH = 10.0
"""The largest lambda_ * theta with data_term="patch"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TVL1Params:
    """Every choice that decides a TV-L1 flow. docs/algorithm.md gives each one's meaning and source.

    The defaults are those of OpenCV's CPU implementation; see `PRESETS` for the named sets.
    """

    tau: float = 0.25
    """Step of the dual ascent; at most 0.25 is stable."""
    lambda_: float = 0.15
    """Weight of the data term, for grey values on 0..255; at most 1e4, and of patches 10 / theta."""
    theta: float = 0.3
    """Tightness of the coupling between the data and the smoothness half-steps, from 1e-6 to 1e6."""
    epsilon: float = 0.01
    """Stop when the mean squared change of (u, v) is at most epsilon^2, in px^2; 0 never tests."""
    stop_rule: StopRule = "every"
    """Test after every iteration, or at the cadence of OpenCV's CUDA version."""
    levels: int = 5
    """Most pyramid levels; fewer where the image becomes too small."""
    scale: float = 0.8
    """Size of a level relative to the next finer one."""
    depth: Depth = "side"
    """Levels end where a side (or the diagonal, with IPOL's formula) would fall below `min_side`."""
    min_side: int = 16
    warps: int = 5
    """Linearisations a level."""
    coarse_warps: int = 0
    """Linearisations of each level but the full resolution; 0 for as many as `warps`."""
    outer_iterations: int = 10
    """Medians a warp, each followed by at most `inner_iterations` iterations."""
    inner_iterations: int = 30
    """Times `outer_iterations` and the warps of a level at most 10 million."""
    median: int = 5
    """Side of the median filter on u and v: 0 (none), 3 or 5 px."""
    cubic: float = -0.75
    """The parameter a of the cubic kernel that samples I1: -0.75 as cv2.remap, -0.5 for Catmull-Rom."""
    border: Border = "zero"
    """Outside I1: zero taps; clamped taps; clamped with the data term off where the sample (or any tap) is outside."""
    derivative: Derivative = "central3"
    data_term: DataTerm = "pixel"
    """What brightness constancy is asked of: each pixel, in the L1 norm; or a Gaussian patch around it, robustly."""
    patch_sigma: float = 2.0
    """Sigma of the patch, px."""
    residual_scale: float = 3.0
    """Grey-value differences of a patch count in full far below this, and ever less above."""
    residual_norm: ResidualNorm = "charbonnier"
    """How much less: a patch's residual counts as its length there, or as that length's logarithm."""
    rounding: Rounding = "opencv"
    """Round as OpenCV's CPU version, operation by operation, or with fewer operations."""
    affine_reference: bool = False
    """Measure total variation against the affine flow that fits best, where it fits well, instead of a constant."""
    carry_dual: bool = False
    """Start a level's dual variables from the coarser level's instead of zero."""
    gradient_floor: float = 2.0**-23
    """Squared gradients up to this count as zero, (grey value / px)^2."""
    stretch: bool = False
    """Stretch both images jointly to 0..255 first, as IPOL does."""
    smoothing: float = 0.0
    """Sigma of a Gaussian on the full-size images, px; 0 for none, or at least 0.01."""
    pyramid_blur: float = 0.0
    """Before each reduction, a Gaussian of sigma pyramid_blur * sqrt(1 / scale^2 - 1) px; 0, or at least 0.01."""
    high_pass: float = 0.0
    """From the images of every level the mean under a Gaussian of this sigma is taken away, px; 0 leaves it there."""
    high_pass_residual: bool = False
    """Take that mean from each warp's residual, and from I1 before its derivatives, instead of from the images."""
    pyramid_kernel: Interpolation = "linear"
    grid: Grid = "centre"
    """Pixel centres (x + 1/2) or corner samples (x) of two levels coincide up to the scale."""
    upsampling: Interpolation = "linear"
    upsampling_exact: bool = False
    """Multiply upsampled flow by the true ratio of the sizes instead of 1 / scale."""
    flow_smoothing: float = 0.0
    """Sigma of a Gaussian on the flow after the last warp, px; 0 for none, or at least 0.01."""
    flow_edge: float = 0.1
    """What departs from that Gaussian by far more than this is an edge, and stays, px."""
    refit_steps: int = 0
    """Steps after that which add the motion which a wide patch still shows where it is significant."""
    refit_sigma: float = 7.0
    """Sigma of that patch, px."""
    refit_smoothing: float = 3.0
    """Sigma of a Gaussian on what a step adds, px; 0 for none, or at least 0.01."""
    refit_widening: float = 1.0
    """The first step's patch and smoothing are so many times as wide."""
    refit_from: float = 6.0
    """Significance (chi-square, two degrees of freedom) up to which nothing is added."""
    refit_whole: float = 12.0
    """Significance from which on all of it is; at least 1e-6 more."""
    refit_credit: float = 0.0
    """Significance that a step has at most for going the way that the flow, beside its surroundings, goes already."""
    refit_noise_limit: float = 1e6
    """Of a patch's noise, over the image's usual one (the harmonic mean); significance falls as its inverse beyond."""

    def __post_init__(self) -> None:
        def require(ok: bool, name: str, rule: str) -> None:
            if not ok:
                raise InputError(f"{name}={getattr(self, name)!r}: must be {rule}")

        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if type(value) not in (bool, int, float) and isinstance(value, numbers.Real):  # NumPy's, as in a sweep
                value = int(value) if isinstance(value, numbers.Integral) else float(value)
                object.__setattr__(self, field.name, value)
            if field.type == "float" and (isinstance(value, bool) or not isinstance(value, (int, float))):
                require(False, field.name, "a number")
            if field.type == "int" and (isinstance(value, bool) or not isinstance(value, int)):
                require(False, field.name, "a whole number")
            if field.type == "bool" and not isinstance(value, bool):
                require(False, field.name, "true or false")
        for name, kind in _CHOICES.items():
            value = getattr(self, name)
            require(isinstance(value, str) and value in get_args(kind), name, "one of " + ", ".join(get_args(kind)))
        require(0 < self.tau <= 0.25, "tau", "above 0 and at most 0.25, or the iteration diverges")
        require(0 < self.lambda_ <= 1e4, "lambda_", "above 0 and at most 10000")
        require(1e-6 <= self.theta <= 1e6, "theta", "from 1e-6 to 1e6")
        if self.data_term == "patch":
            rule = f"at most {MOST_OF_A_PATCH / self.theta:g} where theta is {self.theta:g} (10 for the product)"
            require(self.lambda_ <= MOST_OF_A_PATCH / self.theta, "lambda_", rule + ", with the data term of patches")
        require(0 <= self.epsilon < 1e6, "epsilon", "0 (no test) or above, and below 1e6")
        require(1 <= self.levels <= 64, "levels", "from 1 to 64")
        require(0.1 <= self.scale <= 0.95, "scale", "from 0.1 to 0.95")
        require(3 <= self.min_side <= 10**6, "min_side", "from 3 to 1000000 px")
        require(1 <= self.warps <= 1000, "warps", "from 1 to 1000")
        require(0 <= self.coarse_warps <= 1000, "coarse_warps", "from 0 (as warps) to 1000")
        require(1 <= self.outer_iterations <= 10000, "outer_iterations", "from 1 to 10000")
        inner = min(100_000, 10_000_000 // (max(self.warps, self.coarse_warps) * self.outer_iterations))
        rule = f"from 1 to {inner} (10 million iterations a level at most)"
        require(1 <= self.inner_iterations <= inner, "inner_iterations", rule)
        require(self.median in (0, 3, 5), "median", "0 (none), 3 or 5")
        require(-1 <= self.cubic <= 0, "cubic", "from -1 to 0")
        require(0 <= self.gradient_floor < 1e6, "gradient_floor", "0 or above, and below 1e6")
        require(0.3 <= self.patch_sigma <= 20, "patch_sigma", "from 0.3 to 20 px")
        require(0.01 <= self.residual_scale <= 1e4, "residual_scale", "from 0.01 to 10000 grey values")
        for name in ("smoothing", "pyramid_blur", "flow_smoothing", "refit_smoothing"):
            sigma = getattr(self, name)
            require(sigma == 0 or 0.01 <= sigma <= 20, name, "0 (none), or from 0.01 to 20 px")
        require(self.high_pass == 0 or 0.3 <= self.high_pass <= 100, "high_pass", "0 (none), or from 0.3 to 100 px")
        require(1e-6 <= self.flow_edge <= 1e6, "flow_edge", "from 1e-6 to 1e6 px")
        require(0 <= self.refit_steps <= 100, "refit_steps", "from 0 to 100")
        require(0.3 <= self.refit_sigma <= 20, "refit_sigma", "from 0.3 to 20 px")
        most = min(4.0, 20 / self.refit_sigma)
        require(1 <= self.refit_widening <= most, "refit_widening", f"from 1 to {most:g} (patches of 20 px at most)")
        require(0 <= self.refit_from < 1e6, "refit_from", "0 or above, and below 1e6")
        span = self.refit_whole - self.refit_from
        require(span >= 1e-6 and self.refit_whole <= 1e6, "refit_whole", "above refit_from by 1e-6, and at most 1e6")
        require(0 <= self.refit_credit <= 1e6, "refit_credit", "from 0 to 1e6")
        require(1 <= self.refit_noise_limit <= 1e6, "refit_noise_limit", "from 1 to 1e6")

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, as written into every shard."""
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> TVL1Params:
        """A copy with some fields changed; an unknown name is an InputError that lists the known ones.

        "lambda" stands for `lambda_`, as on the command line, where the word is not Python's.
        """
        known = {field.name for field in dataclasses.fields(self)}
        if "lambda" in changes:
            if "lambda_" in changes:
                raise InputError(f"lambda={changes['lambda']!r} and lambda_={changes['lambda_']!r} are one parameter")
            changes["lambda_"] = changes.pop("lambda")
        for name in changes:
            if name not in known:
                raise InputError(f"{name!r} is no TV-L1 parameter; known are {', '.join(sorted(known))}")
        return dataclasses.replace(self, **changes)


_CHOICES: dict[str, Any] = {
    "border": Border,
    "derivative": Derivative,
    "stop_rule": StopRule,
    "data_term": DataTerm,
    "residual_norm": ResidualNorm,
    "rounding": Rounding,
    "depth": Depth,
    "grid": Grid,
    "pyramid_kernel": Interpolation,
    "upsampling": Interpolation,
}
_MICRO_0_1 = TVL1Params(
    theta=0.035,
    epsilon=0.0,
    levels=64,
    scale=0.5,
    warps=4,
    outer_iterations=1,
    inner_iterations=50,
    median=0,
    cubic=-0.6,
    border="off",
    derivative="central5",
    data_term="patch",
    patch_sigma=1.3,
    residual_scale=1.7,
    rounding="fast",
    affine_reference=True,
    carry_dual=True,
    gradient_floor=1.2e-7,
    smoothing=0.4,
    pyramid_blur=0.25,
    upsampling_exact=True,
)
_MICRO = _MICRO_0_1.replace(
    lambda_=0.2,
    theta=0.05,
    patch_sigma=0.9,
    residual_norm="cauchy",
    high_pass=5.0,
    high_pass_residual=True,
    flow_smoothing=2.0,
    refit_steps=4,
    refit_sigma=6.0,
    refit_smoothing=4.5,
    refit_widening=1.5,
    refit_from=3.0,
    refit_whole=32.0,
    refit_credit=16.0,
    refit_noise_limit=1.5,
)
_FAST_0_1 = _MICRO_0_1.replace(theta=0.045, min_side=8, warps=2, inner_iterations=18)
_PRESETS = {
    # cv2.optflow.DualTVL1OpticalFlow_create() of OpenCV 5.
    "opencv": TVL1Params(),
    # cv2.cuda.OpticalFlowDual_TVL1_create(): other warp and border, 300 iterations a warp, no median.
    "opencv-cuda": TVL1Params(
        stop_rule="cadenced",
        outer_iterations=1,
        inner_iterations=300,
        median=0,
        cubic=-0.5,
        border="clamp",
        rounding="fast",
        grid="corner",
    ),
    # Sanchez, Meinhardt-Llopis, Facciolo: TV-L1 Optical Flow Estimation, IPOL 2013.
    "ipol": TVL1Params(
        levels=64,
        scale=0.5,
        depth="diagonal",
        outer_iterations=1,
        inner_iterations=300,
        median=0,
        cubic=-0.5,
        border="off-taps",
        rounding="fast",
        gradient_floor=1e-10,
        stretch=True,
        smoothing=0.8,
        pyramid_blur=0.6,
        pyramid_kernel="cubic",
        grid="corner",
        upsampling="cubic",
    ),
    # For facial motion of 0.1 to 3 px in noisy 8-bit frames, found with benchmarks/study_micro.py: a robust patch
    # data term on residuals without their local mean, total variation against an affine flow, its steps smoothed, and
    # what that shrinks away put back where it is significant.
    "micro": _MICRO,
    # For averages of some four frames of each phase: of their smaller noise, more of what is no motion is significant.
    # So more is asked for, what is there has more credit, and less of it is smoothed away; in 1.7 times the time.
    "micro-phases": _MICRO.replace(
        warps=5,
        inner_iterations=80,
        refit_steps=6,
        refit_smoothing=3.0,
        refit_from=12.0,
        refit_whole=24.0,
        refit_credit=64.0,
    ),
    # As micro, with about the budget of OpenCV's DIS (medium).
    "fast": _FAST_0_1.replace(
        lambda_=0.2,
        warps=3,
        residual_norm="cauchy",
        high_pass=6.0,
        inner_iterations=10,
        flow_smoothing=2.0,
        refit_steps=1,
        refit_sigma=5.0,
        refit_smoothing=3.5,
        refit_from=1.0,
        refit_whole=3.5,
        refit_noise_limit=1.5,
    ),
    # What flowkit 0.1 and 0.2 called micro and fast: small motions shrink, and a change of light looks like motion.
    "micro-0.1": _MICRO_0_1,
    "fast-0.1": _FAST_0_1,
}
PRESETS: Mapping[str, TVL1Params] = MappingProxyType(_PRESETS)
"""The named sets, by name; not to be changed."""


def resolve_params(preset: str = "micro", params: TVL1Params | Mapping[str, Any] | None = None) -> TVL1Params:
    """The parameters that a preset's name and optional overrides (a mapping), or a full set, stand for."""
    if not isinstance(preset, str) or preset not in PRESETS:
        raise InputError(f"preset={preset!r} is unknown; choose one of {', '.join(PRESETS)}")
    if isinstance(params, TVL1Params):
        return params
    if params is None:
        return PRESETS[preset]
    if not isinstance(params, Mapping) or not all(isinstance(name, str) for name in params):
        raise InputError(f"params={params!r}: must be TVL1Params, or a mapping of names of its fields to values")
    return PRESETS[preset].replace(**params)


def params_label(preset: str, params: TVL1Params) -> str:
    """A preset's name, and all in which the parameters differ from it, sorted: "micro + lambda_=0.3, warps=3"."""
    base = PRESETS[preset].to_dict()
    changed = [f"{name}={value}" for name, value in sorted(params.to_dict().items()) if value != base[name]]
    return f"{preset} + {', '.join(changed)}" if changed else preset
