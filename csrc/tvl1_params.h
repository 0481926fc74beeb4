// The parameters of TV-L1 and what follows from them alone, for every backend. docs/algorithm.md says what each
// decides.
#pragma once

#include <vector>

#include "patch_math.h"
#include "resample.h"
#include "tvl1_math.h"
#include "warp_math.h"

namespace flowkit {

enum class Border { zero, clamp, off, off_taps };
enum class StopRule { every, cadenced };
enum class Depth { side, diagonal };

// The fields of flowkit.params.TVL1Params, checked there.
struct TVL1Params {
  double tau, lambda, theta, epsilon;
  StopRule stop_rule;
  int levels;
  double scale;
  Depth depth;
  int min_side, warps, coarse_warps, outer_iterations, inner_iterations, median;
  double cubic;
  Border border;
  bool five_point_derivative;
  DataTerm data_term;
  double patch_sigma, residual_scale;
  ResidualNorm residual_norm;
  Rounding rounding;
  bool affine_reference, carry_dual;
  double gradient_floor;
  bool stretch;
  double smoothing, pyramid_blur, high_pass;
  bool high_pass_residual;
  Interpolation pyramid_kernel;
  Alignment grid;
  Interpolation upsampling;
  bool upsampling_exact;
  double flow_smoothing, flow_edge;
  int refit_steps;
  double refit_sigma, refit_smoothing, refit_widening, refit_from, refit_whole, refit_credit, refit_noise_limit;
};

struct Size {
  int width, height;
};

// The sizes of the pyramid's levels, full resolution first.
std::vector<Size> pyramid_sizes(Size full, const TVL1Params& params);

// The constants of the iteration.
StepSizes step_sizes(const TVL1Params& params);

// The sigma of the Gaussian before a reduction, px; 0 for none.
double reduction_sigma(const TVL1Params& params);

// The sigmas of a refit step's patch and of the Gaussian on what it adds, px; 0 for none.
struct RefitSigmas {
  double patch, smoothing;
};
RefitSigmas refit_sigmas(const TVL1Params& params, int step);

// What else decides a refit step.
struct RefitConstants;
RefitConstants refit_constants(const TVL1Params& params, int step);

// The sigma of the Gaussian around a pixel that the refit takes for its surroundings, px; 0 for none.
double surroundings_sigma(const TVL1Params& params);

// 1 / flow_edge^2: see smooth_math.h.
float inverse_square_of_edge(const TVL1Params& params);

// What the flow of a coarser level is multiplied by along an axis of which it has `ratio` as many pixels.
double raise_gain(const TVL1Params& params, double ratio);

// The linearisations of a level, full resolution being level 0.
int warps_of(const TVL1Params& params, std::size_t level);

// Whether the mean is taken from the frames of every level; or from I1 before its derivatives, and every residual.
bool high_passes_frames(const TVL1Params& params);
bool high_passes_residuals(const TVL1Params& params);

DataBounds data_bounds(Border border, Size size);

}  // namespace flowkit
