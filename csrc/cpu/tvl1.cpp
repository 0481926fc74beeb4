#include "tvl1.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <thread>
#include <utility>

#include "../smooth_math.h"
#include "../stop_test.h"
#include "../taps.h"
#include "affine.h"
#include "grey_frame.h"
#include "memory.h"
#include "refit.h"

namespace flowkit {

namespace {

// Of a level that one thread sweeps sooner than several could agree on it.
constexpr int kFewPixels = 1 << 16;

// How many threads can share the iterations of a warp.
int most_parts(Size size, const TVL1Params& params) {
  const bool few = std::int64_t{size.width} * size.height < kFewPixels;
  return few || !StopTest(params, size).simple() ? 1 : std::min(kMostIterationsAtOnce, params.inner_iterations);
}

// By which factor OpenCV's sum of a level's n squared changes, rounded to single precision after each, may differ from
// one that is rounded so as often as a row is wide at most: (1 + 2^-24)^(n + width).
double sum_slack(Size size) { return std::exp(std::ldexp(1.0, -24) * size.width * (size.height + 1.0)); }

Grid grid_of(Size size) { return {size.width, size.height, padded_stride(size.width)}; }

// Both images to 0..255 by their joint extremes.
void stretch(const Grid& g, float* image0, float* image1) {
  float low = std::numeric_limits<float>::max(), high = std::numeric_limits<float>::lowest();
  const auto each = [&](auto&& visit) {
    for (float* image : {image0, image1})
      for (int y = 0; y < g.height; ++y)
        for (int x = 0; x < g.width; ++x) visit(image[y * g.stride + x]);
  };
  each([&](float& value) {
    low = std::min(low, value);
    high = std::max(high, value);
  });
  if (!(high > low)) return;
  each([&](float& value) { value = stretched(value, low, high); });
}

}  // namespace

struct TVL1Solver::Level {
  Size size;
  Grid grid;
  float* frame0 = nullptr;
  float* frame1 = nullptr;
  // To this level from the next finer one, and to it from the next coarser one.
  ResampleTaps down_x, down_y, up_x, up_y, dual_x, dual_y;
  double up_gain_u = 1.0, up_gain_v = 1.0;
};

// All memory of a solver: cut from one block, every plane in the geometry of the level it serves at the moment. And the
// taps of its Gaussians.
struct TVL1Solver::Planes {
  static constexpr std::size_t kAlign = 64;
  // Planes begin a few cache lines apart from a multiple of 4 KiB, or the same pixel of all of them would fall into one
  // cache set.
  static constexpr std::size_t kSkew = 5 * kAlign / sizeof(float);

  explicit Planes(const TVL1Params& params)
      : smoothing(gaussian_taps(params.smoothing)),
        reduction(gaussian_taps(reduction_sigma(params))),
        high_pass(gaussian_taps(params.high_pass)),
        patch_taps(params.data_term == DataTerm::patch ? gaussian_taps(params.patch_sigma) : std::vector<float>()),
        refit_surroundings(gaussian_taps(surroundings_sigma(params))),
        flow_smoothing(gaussian_taps(params.flow_smoothing)),
        refit_taps{gaussian_taps(refit_sigmas(params, 0).patch), gaussian_taps(refit_sigmas(params, 1).patch)},
        refit_smoothing{gaussian_taps(refit_sigmas(params, 0).smoothing),
                        gaussian_taps(refit_sigmas(params, 1).smoothing)} {}

  static std::size_t padded(std::size_t count) { return (count + kSkew + 15) / 16 * 16; }

  // `count` floats, and the place `start` of them. Before there is a block they are only counted.
  float* take(std::size_t count, std::ptrdiff_t start = 0) {
    float* at = block ? block->data() + used + start : nullptr;
    used += count;
    return at;
  }
  static std::size_t plane_floats(const Grid& g) { return padded(kRowPadding + g.stride * g.height + kRowPadding); }
  float* take_plane(const Grid& g) { return take(plane_floats(g), kRowPadding); }
  float* take_row(const Grid& g) { return take(padded(g.stride + 2 * kRowPadding), kRowPadding); }
  // With the rows of a warp source's border above and below.
  static std::ptrdiff_t framed_start(const Grid& g) { return kRowPadding + g.stride * WarpSource::kFrame; }
  float* take_framed(const Grid& g, std::ptrdiff_t start) {
    return take(padded(kRowPadding + g.stride * (g.height + 2 * WarpSource::kFrame) + kRowPadding), start);
  }

  // What a solver of these levels needs, the finest first, and their frames.
  void lay_out(std::vector<Level>& levels, const TVL1Params& params) {
    const Grid& full = levels.front().grid;
    for (float** plane : {&u, &v, &pu_x, &pu_y, &pv_x, &pv_y, &gx, &gy, &rho_c, &square}) *plane = take_plane(full);
    zero_row = take_row(full);
    const std::size_t border = std::max({smoothing.size(), reduction.size(), high_pass.size(),
                                         refit_smoothing[0].size(), refit_surroundings.size(), flow_smoothing.size()});
    blur_columns = take(padded(turned_floats(full, static_cast<int>(border))));
    for (float*& row : median_rows) row = take_row(full);
    for (float** plane : {&derivative_x, &derivative_y}) *plane = take_framed(full, 0);
    if (!patch_taps.empty()) patch = take_plane(full);
    if (params.rounding == Rounding::opencv) change = take_plane(full);
    if (const std::size_t widest = std::max(patch_taps.size(), refit_taps[0].size()))
      ring = take(padded(patch_scratch(full, static_cast<int>(widest) - 1)));
    if (high_passes_residuals(params)) {
      picture = take_framed(full, 0);
      for (float** plane : {&rho, &on}) *plane = take_plane(full);
    }
    for (Level& level : levels) {
      level.frame0 = take_plane(level.grid);
      level.frame1 = take_framed(level.grid, framed_start(level.grid));
    }
  }

  // A block of all that has been counted so far, zeros, to be laid out once more.
  void allocate() {
    block.emplace(used);
    std::memset(block->data(), 0, used * sizeof(float));
    used = 0;
  }

  std::optional<Block> block;
  std::size_t used = 0;

  float *u, *v, *pu_x, *pu_y, *pv_x, *pv_y, *gx, *gy, *rho_c, *square;
  float *zero_row, *blur_columns;
  float* median_rows[kMedianRows];
  // Of I1 on the level being solved: whole blocks, as the rows above the image depend on the level. Scratch elsewhere.
  float *derivative_x, *derivative_y;
  // Only where there are patches: the fifth plane of the data term's steps, and the ring that they are averaged in.
  float *patch = nullptr, *ring = nullptr;
  // Only with OpenCV's rounding: the squared changes of an iteration.
  float* change = nullptr;
  // Only where residuals lose their mean: I1 without its own, scratch elsewhere; what the mean is made of.
  float *picture = nullptr, *rho = nullptr, *on = nullptr;

  std::vector<float> smoothing, reduction, high_pass, patch_taps, refit_surroundings, flow_smoothing;
  std::vector<float> refit_taps[2], refit_smoothing[2];  // of the first step, and of all others
};

TVL1Solver::TVL1Solver(Size size, const TVL1Params& params, const KernelTable& kernels, int threads)
    : params_(params),
      kernels_(kernels),
      threads_(std::min(threads, most_parts(size, params))),
      steps_(step_sizes(params)),
      planes_(std::make_unique<Planes>(params)) {
  const std::vector<Size> sizes = pyramid_sizes(size, params);
  const double nominal = 1.0 / params.scale;
  for (std::size_t s = 0; s < sizes.size(); ++s) {
    Level level;
    level.size = sizes[s];
    level.grid = grid_of(sizes[s]);
    if (s > 0) {
      level.down_x = ResampleTaps(sizes[s - 1].width, sizes[s].width, nominal, params.grid, params.pyramid_kernel);
      level.down_y = ResampleTaps(sizes[s - 1].height, sizes[s].height, nominal, params.grid, params.pyramid_kernel);
    }
    if (s + 1 < sizes.size()) {
      const Size from = sizes[s + 1], to = sizes[s];
      const double ratio_x = static_cast<double>(from.width) / to.width,
                   ratio_y = static_cast<double>(from.height) / to.height;
      level.up_x = ResampleTaps(from.width, to.width, ratio_x, params.grid, params.upsampling);
      level.up_y = ResampleTaps(from.height, to.height, ratio_y, params.grid, params.upsampling);
      level.dual_x = ResampleTaps(from.width, to.width, ratio_x, params.grid, Interpolation::linear);
      level.dual_y = ResampleTaps(from.height, to.height, ratio_y, params.grid, Interpolation::linear);
      level.up_gain_u = raise_gain(params, ratio_x);
      level.up_gain_v = raise_gain(params, ratio_y);
    }
    levels_.push_back(std::move(level));
  }
  planes_->lay_out(levels_, params);
  planes_->allocate();
  planes_->lay_out(levels_, params);
}

TVL1Solver::~TVL1Solver() = default;

void TVL1Solver::load_frames(const FrameView& frame0, const FrameView& frame1, ValueRange range) {
  const Level& full = levels_.front();
  convert(frame0, full.grid, range, full.frame0);
  convert(frame1, full.grid, range, full.frame1);
  if (params_.stretch) stretch(full.grid, full.frame0, full.frame1);
  if (planes_->smoothing.empty()) return;
  const int radius = static_cast<int>(planes_->smoothing.size()) - 1;
  for (float* image : {full.frame0, full.frame1})
    kernels_.blur(full.grid, image, image, planes_->smoothing.data(), radius, planes_->derivative_x,
                  planes_->blur_columns);
}

// The planes of the iteration are idle while the pyramid is built and serve as scratch.
void TVL1Solver::build_pyramid() {
  Planes& p = *planes_;
  for (std::size_t s = 1; s < levels_.size(); ++s) {
    const Level &fine = levels_[s - 1], &coarse = levels_[s];
    for (const auto& [from, to] : {std::pair(fine.frame0, coarse.frame0), std::pair(fine.frame1, coarse.frame1)}) {
      const float* source = from;
      if (!p.reduction.empty()) {
        const int radius = static_cast<int>(p.reduction.size()) - 1;
        kernels_.blur(fine.grid, from, p.gx, p.reduction.data(), radius, p.derivative_x, p.blur_columns);
        source = p.gx;
      }
      kernels_.resample(fine.grid, source, coarse.grid, to, coarse.down_x.view(), coarse.down_y.view(), 1.0,
                        p.derivative_x);
    }
  }
  if (!high_passes_frames(params_)) return;
  const int radius = static_cast<int>(p.high_pass.size()) - 1;
  for (const Level& level : levels_)
    for (float* image : {level.frame0, level.frame1}) {
      kernels_.blur(level.grid, image, p.gx, p.high_pass.data(), radius, p.derivative_x, p.blur_columns);
      subtract_plane(level.grid, image, p.gx);
    }
}

void TVL1Solver::start_coarsest(const float* initial_flow) {
  Planes& p = *planes_;
  const Grid full = levels_.front().grid;
  const std::size_t area = static_cast<std::size_t>(full.width) * full.height;
  float** flow[2] = {&p.u, &p.v};
  for (int component = 0; component < 2; ++component) {
    float* plane = *flow[component];
    if (!initial_flow) {
      std::memset(plane - kRowPadding, 0, Planes::plane_floats(full) * sizeof(float));
      continue;
    }
    for (int y = 0; y < full.height; ++y)
      std::memcpy(plane + y * full.stride, initial_flow + component * area + static_cast<std::size_t>(y) * full.width,
                  full.width * sizeof(float));
    for (std::size_t s = 1; s < levels_.size(); ++s) {
      const Level &fine = levels_[s - 1], &coarse = levels_[s];
      const ResampleTaps x(fine.size.width, coarse.size.width, 1.0 / params_.scale, params_.grid,
                           Interpolation::linear);
      const ResampleTaps y(fine.size.height, coarse.size.height, 1.0 / params_.scale, params_.grid,
                           Interpolation::linear);
      kernels_.resample(fine.grid, *flow[component], coarse.grid, p.gx, x.view(), y.view(), params_.scale,
                        p.derivative_x);
      std::swap(*flow[component], p.gx);
    }
  }
}

void TVL1Solver::upsample_flow(std::size_t to) {
  Planes& p = *planes_;
  const Level &fine = levels_[to], &coarse = levels_[to + 1];
  kernels_.resample(coarse.grid, p.u, fine.grid, p.gx, fine.up_x.view(), fine.up_y.view(), fine.up_gain_u,
                    p.derivative_x);
  kernels_.resample(coarse.grid, p.v, fine.grid, p.gy, fine.up_x.view(), fine.up_y.view(), fine.up_gain_v,
                    p.derivative_x);
  std::swap(p.u, p.gx);
  std::swap(p.v, p.gy);
}

// Linearly and unscaled; without the dual at the last column and row, which the forward differences never reach.
void TVL1Solver::upsample_dual(std::size_t to) {
  Planes& p = *planes_;
  const Level &fine = levels_[to], &coarse = levels_[to + 1];
  const std::size_t plane_bytes = Planes::plane_floats(fine.grid) * sizeof(float);
  const int last_x = fine.size.width - 1, last_y = fine.size.height - 1;
  for (float** dual : {&p.pu_x, &p.pv_x, &p.pu_y, &p.pv_y}) {
    std::memset(p.gx - kRowPadding, 0, plane_bytes);
    kernels_.resample(coarse.grid, *dual, fine.grid, p.gx, fine.dual_x.view(), fine.dual_y.view(), 1.0, p.derivative_x);
    std::swap(*dual, p.gx);
  }
  for (float* dual : {p.pu_x, p.pv_x, p.pu_y, p.pv_y})
    for (int y = 0; y <= last_y; ++y) {
      float* row = dual + y * fine.grid.stride;
      // Whole vectors were written; what iterations read beside the row is zero.
      std::fill(row + last_x + 1, row + fine.grid.stride - kRowPadding, 0.0f);
    }
  for (float* dual : {p.pu_x, p.pv_x})
    for (int y = 0; y <= last_y; ++y) dual[y * fine.grid.stride + last_x] = 0.0f;
  for (float* dual : {p.pu_y, p.pv_y}) std::fill_n(dual + last_y * fine.grid.stride, fine.size.width, 0.0f);
}

int TVL1Solver::iterate_warp(std::size_t s) {
  Planes& p = *planes_;
  const Level& level = levels_[s];
  const AffineGradient affine = params_.affine_reference ? fit_affine(level.grid, p.u, p.v) : AffineGradient{};
  const StopTest stop(params_, level.size);
  StopProgress progress;
  const int parts = std::min(threads_.size(), most_parts(level.size, params_));
  // With a stop to wait for, the last of a long queue of iterations would lag far behind the first.
  const int queue = parts * (params_.epsilon > 0.0 ? 6 : 8);
  const int at_once = stop.simple() ? std::min(queue, kMostIterationsAtOnce) : 1;
  // The cadenced test asks for whole sums, so no iteration is known beforehand to go on.
  const double stop_at = stop.simple() ? stop.limit() : std::numeric_limits<double>::infinity();
  const double slack = params_.rounding == Rounding::opencv ? sum_slack(level.size) : 1.0;
  int total = 0;
  for (int outer = 0; outer < params_.outer_iterations; ++outer) {
    if (params_.median > 0)
      for (float* plane : {p.u, p.v}) kernels_.median(level.grid, plane, params_.median, p.median_rows);
    const IterationPlanes planes = {
        p.u,        p.v,      p.pu_x, p.pu_y, p.pv_x, p.pv_y, {p.gx, p.gy, p.rho_c, p.square, p.patch},
        p.zero_row, p.change, affine};
    for (int inner = 0; inner < params_.inner_iterations;) {
      const int most = std::min(at_once, params_.inner_iterations - inner);
      Sweep sweep = {most, std::min(parts, most), stop_at, slack, std::this_thread::yield, {}, 0};
      threads_.run(sweep.parts, [&](int part) {
        kernels_.iterate(params_.data_term, params_.rounding, level.grid, planes, steps_, sweep, part);
      });
      const int ran = sweep.ran();
      inner += ran;
      total += ran;
      if (stop.done(progress, sweep.iterations[ran - 1].error)) return total;
    }
  }
  return total;
}

int TVL1Solver::solve_level(std::size_t s) {
  Planes& p = *planes_;
  const Level& level = levels_[s];
  if (params_.carry_dual && s + 1 < levels_.size()) {
    upsample_dual(s);
  } else {
    const std::size_t plane_bytes = Planes::plane_floats(level.grid) * sizeof(float);
    for (float* dual : {p.pu_x, p.pu_y, p.pv_x, p.pv_y}) std::memset(dual - kRowPadding, 0, plane_bytes);
  }
  differentiate(level);
  int iterations = 0;
  const int warps = warps_of(params_, s);
  for (int i = 0; i < warps; ++i) {
    warp(level);
    if (params_.data_term == DataTerm::patch) {
      float* data[] = {p.gx, p.gy, p.rho_c, p.square, p.patch};
      const ResidualLimit limit = residual_limit(static_cast<float>(params_.residual_scale), params_.residual_norm);
      kernels_.average_patches(level.grid, p.u, p.v, data, steps_, limit, p.patch_taps.data(),
                               static_cast<int>(p.patch_taps.size()) - 1, p.ring);
    }
    iterations += iterate_warp(s);
  }
  return iterations;
}

// I1's derivatives on the level's grid, and the borders of all three.
void TVL1Solver::differentiate(const Level& level) {
  const Planes& p = *planes_;
  const std::ptrdiff_t start = Planes::framed_start(level.grid);
  const bool zero_border = params_.border == Border::zero;
  WarpTarget target = {level.frame1, p.derivative_x + start, p.derivative_y + start};
  kernels_.prepare_warp(level.grid, target, params_.five_point_derivative, zero_border);
  if (!high_passes_residuals(params_)) return;
  target.value = p.picture + start;
  kernels_.blur(level.grid, level.frame1, p.rho, p.high_pass.data(), static_cast<int>(p.high_pass.size()) - 1, p.on,
                p.blur_columns);
  for (int y = 0; y < level.grid.height; ++y)
    std::memcpy(target.value + y * level.grid.stride, level.frame1 + y * level.grid.stride,
                level.grid.width * sizeof(float));
  subtract_plane(level.grid, target.value, p.rho);
  kernels_.prepare_warp(level.grid, target, params_.five_point_derivative, zero_border);
}

void TVL1Solver::warp(const Level& level) {
  const Planes& p = *planes_;
  const std::ptrdiff_t start = Planes::framed_start(level.grid);
  const WarpSource source = {level.frame1, p.derivative_x + start, p.derivative_y + start};
  const WarpPlanes planes = {p.u, p.v, level.frame0, p.gx, p.gy, p.rho_c, p.square};
  const DataBounds on = data_bounds(params_.border, level.size);
  kernels_.warp(level.grid, source, planes, on, static_cast<float>(params_.cubic));
  if (!high_passes_residuals(params_)) return;
  kernels_.split_residual(level.grid, planes, on, p.rho, p.on);
  for (float* plane : {p.rho, p.on})
    kernels_.blur(level.grid, plane, plane, p.high_pass.data(), static_cast<int>(p.high_pass.size()) - 1,
                  p.picture + start, p.blur_columns);
  kernels_.take_mean(level.grid, planes, on, p.rho, p.on);
}

void TVL1Solver::smooth_flow() {
  const Planes& p = *planes_;
  const Grid g = levels_.front().grid;
  if (p.flow_smoothing.empty()) return;
  float *const flow[] = {p.u, p.v}, *const mean[] = {p.pu_x, p.pu_y};
  for (int k = 0; k < 2; ++k)
    kernels_.blur(g, flow[k], mean[k], p.flow_smoothing.data(), static_cast<int>(p.flow_smoothing.size()) - 1, p.square,
                  p.blur_columns);
  const float inverse_square = inverse_square_of_edge(params_);
  for (int y = 0; y < g.height; ++y)
    for (std::ptrdiff_t i = y * g.stride; i < y * g.stride + g.width; ++i) {
      const FlowVector kept = edges_kept({p.u[i], p.v[i]}, {mean[0][i], mean[1][i]}, inverse_square);
      p.u[i] = kept.u;
      p.v[i] = kept.v;
    }
}

// After the last warp of the full resolution, whose derivatives are still there.
void TVL1Solver::refit() {
  Planes& p = *planes_;
  const Level& level = levels_.front();
  const auto blur = [&](const float* in, float* out, const std::vector<float>& taps) {
    kernels_.blur(level.grid, in, out, taps.data(), static_cast<int>(taps.size()) - 1, p.square, p.blur_columns);
  };
  // The duals have done their work: their planes are free. Without credit no flow departs from anything.
  const bool credited = !p.refit_surroundings.empty();
  float* const flow[] = {p.u, p.v};
  float* const surroundings[] = {credited ? p.pu_x : p.u, credited ? p.pu_y : p.v};
  float* const data[] = {p.gx, p.gy, p.rho_c, p.pv_x, p.pv_y};
  for (int k = 0; k < 2 && credited; ++k) blur(flow[k], surroundings[k], p.refit_surroundings);
  for (int step = 0; step < params_.refit_steps; ++step) {
    const std::vector<float>&patch = p.refit_taps[step > 0], &smoothing = p.refit_smoothing[step > 0];
    const RefitConstants constants = refit_constants(params_, step);
    warp(level);
    kernels_.refit_patches(level.grid, flow, surroundings, data, constants, patch.data(),
                           static_cast<int>(patch.size()) - 1, p.ring);
    const double significance = mean_below(level.grid, data[2], kSignificanceCap);
    const double precision = mean_below(level.grid, data[4], kMostPrecision);
    kernels_.weigh_steps(level.grid, data, refit_image(significance, precision, constants), constants);
    for (int k = 0; k < 2; ++k) {
      if (!smoothing.empty()) blur(data[k], data[k], smoothing);
      add_plane(level.grid, flow[k], data[k]);
    }
  }
}

int TVL1Solver::solve(const FrameView& frame0, const FrameView& frame1, ValueRange range, const float* initial_flow,
                      float* flow) {
  load_frames(frame0, frame1, range);
  build_pyramid();
  start_coarsest(initial_flow);
  int iterations = solve_level(levels_.size() - 1);
  for (std::size_t s = levels_.size() - 1; s-- > 0;) {
    upsample_flow(s);
    iterations += solve_level(s);
  }
  smooth_flow();
  refit();
  const Grid g = levels_.front().grid;
  for (const float* plane : {planes_->u, planes_->v})
    for (int y = 0; y < g.height; ++y, flow += g.width)
      std::memcpy(flow, plane + y * g.stride, g.width * sizeof(float));
  return iterations;
}

}  // namespace flowkit
