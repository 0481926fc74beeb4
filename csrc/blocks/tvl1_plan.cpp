#include "tvl1_plan.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "../taps.h"

namespace flowkit {

namespace {

GaussianTaps taps_by_value(double sigma) {
  const std::vector<float> weights = gaussian_taps(sigma);
  const int radius = static_cast<int>(weights.size()) - 1;  // -1: none
  if (radius > GaussianTaps::kMostRadius)
    throw std::invalid_argument("a Gaussian of sigma " + std::to_string(sigma) + " px is too wide for the GPU");
  GaussianTaps taps = {radius, {}};
  std::copy(weights.begin(), weights.end(), taps.weight);
  return taps;
}

int plane_floats(const LevelGrid& g) { return divide_up(g.stride * g.height, 64) * 64; }

// Floats of a pair are counted in 32 bits.
void check_size(Size size, const std::vector<Size>& levels) {
  std::int64_t floats = 0;
  for (const Size& s : levels) floats += 2 * (std::int64_t{s.width} + 4) * s.height + 64;
  floats += Batch::kFrames * ((std::int64_t{size.width} + 4) * size.height + 64);
  if (floats > std::numeric_limits<int>::max())
    throw std::invalid_argument("frames of " + std::to_string(size.width) + " x " + std::to_string(size.height) +
                                " px are too large for the GPU");
}

}  // namespace

TVL1Plan::TVL1Plan(Size size, const TVL1Params& p, const DeviceLimits& limits)
    : params(p),
      steps(step_sizes(p)),
      smoothing(taps_by_value(p.smoothing)),
      reduction(taps_by_value(reduction_sigma(p))),
      high_pass(taps_by_value(p.high_pass)),
      patch(taps_by_value(p.data_term == DataTerm::patch ? p.patch_sigma : 0.0)),
      refit_surroundings(taps_by_value(surroundings_sigma(p))),
      flow_smoothing(taps_by_value(p.flow_smoothing)) {
  for (int step = 0; step < 2; ++step) {
    const RefitSigmas sigmas = refit_sigmas(p, step);
    refit[step] = taps_by_value(sigmas.patch);
    refit_smoothing[step] = taps_by_value(sigmas.smoothing);
    if (refit_smoothing[step].radius < 0) refit_smoothing[step] = {0, {1.0f}};
  }
  const std::vector<Size> sizes = pyramid_sizes(size, p);
  check_size(size, sizes);
  measures_.plane_floats = plane_floats(device_grid(size));
  measures_.pair_floats = Batch::kFrames * measures_.plane_floats;
  measures_.pair_moments = 6 * size.height;
  for (int frame = 0; frame < 2; ++frame) {
    scratch[0].first[frame] = (2 * frame) * measures_.plane_floats;
    scratch[1].first[frame] = (2 * frame + 1) * measures_.plane_floats;
  }
  DeviceLimits level_limits = limits;
  // The same for each launch, as far as it goes.
  const int launches = divide_up(p.inner_iterations, limits.tile_iterations);
  level_limits.tile_iterations = divide_up(p.inner_iterations, launches);
  for (const Size& s : sizes) {
    LevelPlan level = {};
    level.size = s;
    level.grid = device_grid(s);
    for (int& first : level.frames.first) {
      first = measures_.pair_floats;
      measures_.pair_floats += plane_floats(level.grid);
    }
    level.iteration = plan_iteration(s, level_limits);
    const std::ptrdiff_t errors = level.iteration.tiles() * level.iteration.iterations;
    measures_.pair_errors = std::max(measures_.pair_errors, errors);
    levels.push_back(level);
  }
  for (std::size_t s = 0; s + 1 < levels.size(); ++s) {
    LevelPlan &fine = levels[s], &coarse = levels[s + 1];
    const double nominal = 1.0 / p.scale;
    const double ratio_x = static_cast<double>(coarse.size.width) / fine.size.width,
                 ratio_y = static_cast<double>(coarse.size.height) / fine.size.height;
    fine.reduce = {fine.grid, coarse.grid, nominal, nominal, p.grid, p.pyramid_kernel};
    fine.raise = {coarse.grid, fine.grid, ratio_x, ratio_y, p.grid, p.upsampling};
    fine.raise_duals = {coarse.grid, fine.grid, ratio_x, ratio_y, p.grid, Interpolation::linear};
    fine.raise_gain[0] = raise_gain(p, ratio_x);
    fine.raise_gain[1] = raise_gain(p, ratio_y);
  }
}

TVL1Plan::Parts TVL1Plan::parts(int pairs) const {
  const auto behind = [](std::size_t start, std::size_t bytes) {
    return (start + bytes + kAlign - 1) / kAlign * kAlign;
  };
  Parts at = {};
  at.errors = behind(at.status, sizeof(PairStatus) * pairs);
  at.moments = behind(at.errors, sizeof(double) * measures_.pair_errors * pairs);
  at.planes = behind(at.moments, sizeof(double) * measures_.pair_moments * pairs);
  at.end = behind(at.planes, sizeof(float) * measures_.pair_floats * pairs);
  return at;
}

std::size_t TVL1Plan::workspace_bytes(int pairs) const { return parts(pairs).end; }

Batch TVL1Plan::cut(void* workspace, int pairs) const {
  const Parts at = parts(pairs);
  char* base = static_cast<char*>(workspace);
  Batch batch = measures_;
  batch.status = reinterpret_cast<PairStatus*>(base + at.status);
  batch.errors = reinterpret_cast<double*>(base + at.errors);
  batch.moments = reinterpret_cast<double*>(base + at.moments);
  batch.planes = reinterpret_cast<float*>(base + at.planes);
  return batch;
}

}  // namespace flowkit
