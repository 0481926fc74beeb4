#include "tvl1_params.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "refit_math.h"

namespace flowkit {

namespace {

int scaled_side(int side, double scale) { return static_cast<int>(std::lrint(side * scale)); }

}  // namespace

std::vector<Size> pyramid_sizes(Size full, const TVL1Params& p) {
  int most = p.levels;
  if (p.depth == Depth::diagonal) {
    const double octaves = std::log(std::hypot(full.width, full.height) / p.min_side) / std::log(1.0 / p.scale);
    most = std::min(most, std::max(1, 1 + static_cast<int>(std::floor(octaves))));
  }
  std::vector<Size> sizes = {full};
  while (static_cast<int>(sizes.size()) < most) {
    const Size next = {scaled_side(sizes.back().width, p.scale), scaled_side(sizes.back().height, p.scale)};
    const int side = std::min(next.width, next.height);
    if (side < (p.depth == Depth::side ? p.min_side : 3)) break;
    // Of few pixels a scale near 1 leaves as many: 4 * 0.9 is nearest to 4.
    if (next.width == sizes.back().width || next.height == sizes.back().height) break;
    sizes.push_back(next);
  }
  return sizes;
}

StepSizes step_sizes(const TVL1Params& p) {
  // Quotients are for normal divisors (float_math.h).
  const float floor = std::max(static_cast<float>(p.gradient_floor), std::numeric_limits<float>::min());
  return {static_cast<float>(p.theta), static_cast<float>(p.lambda * p.theta), static_cast<float>(p.tau / p.theta),
          floor};
}

double reduction_sigma(const TVL1Params& p) { return p.pyramid_blur * std::sqrt(1.0 / (p.scale * p.scale) - 1.0); }

RefitSigmas refit_sigmas(const TVL1Params& p, int step) {
  if (p.refit_steps == 0) return {0.0, 0.0};
  const double widening = step == 0 ? p.refit_widening : 1.0;
  return {widening * p.refit_sigma, widening * p.refit_smoothing};
}

RefitConstants refit_constants(const TVL1Params& p, int step) {
  const double sigma = refit_sigmas(p, step).patch, count = 4.0 * 3.14159265358979323846 * sigma * sigma;
  return {static_cast<float>(count),
          static_cast<float>(1.0 / (count * kRefitPriorPx * kRefitPriorPx)),
          static_cast<float>(1.0 / (3.0 * sigma)),
          static_cast<float>(p.refit_from),
          static_cast<float>(1.0 / (p.refit_whole - p.refit_from)),
          static_cast<float>(p.refit_credit),
          p.refit_noise_limit};
}

double surroundings_sigma(const TVL1Params& p) {
  return p.refit_steps > 0 && p.refit_credit > 0.0 ? kRefitSurroundings * p.refit_sigma : 0.0;
}

float inverse_square_of_edge(const TVL1Params& p) { return static_cast<float>(1.0 / (p.flow_edge * p.flow_edge)); }

double raise_gain(const TVL1Params& p, double ratio) { return p.upsampling_exact ? 1.0 / ratio : 1.0 / p.scale; }

int warps_of(const TVL1Params& p, std::size_t level) {
  return level > 0 && p.coarse_warps > 0 ? p.coarse_warps : p.warps;
}

bool high_passes_frames(const TVL1Params& params) { return params.high_pass > 0.0 && !params.high_pass_residual; }

bool high_passes_residuals(const TVL1Params& params) { return params.high_pass > 0.0 && params.high_pass_residual; }

DataBounds data_bounds(Border border, Size size) {
  const float far = std::numeric_limits<float>::infinity();
  switch (border) {
    case Border::off: return {0.0f, size.width - 1.0f, 0.0f, size.height - 1.0f};
    case Border::off_taps:
      return {1.0f, std::nextafter(size.width - 2.0f, 0.0f), 1.0f, std::nextafter(size.height - 2.0f, 0.0f)};
    default: return {-far, far, -far, far};
  }
}

}  // namespace flowkit
