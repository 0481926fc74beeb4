// The launches that compute TV-L1 flow of a batch of pairs. How many there are does not depend on the batch, and
// nothing comes back to the host: each pair's progress is in its PairStatus. docs/algorithm.md is the specification;
// docs/cuda.md says how the programs share the work.
#pragma once

#include <algorithm>

#include "begin_warp.h"
#include "high_pass.h"
#include "iterate.h"
#include "median.h"
#include "move_state.h"
#include "refit.h"
#include "smooth.h"
#include "tiled_stop.h"
#include "tvl1_plan.h"
#include "warp.h"

namespace flowkit {

// A Launcher has launch(program, teams), and launches run one after the other.
template <class Launcher>
class TVL1Batch {
 public:
  TVL1Batch(Launcher& launcher, const TVL1Plan& plan, void* workspace, int pairs)
      : launcher_(launcher), plan_(plan), params_(plan.params), batch_(plan.cut(workspace, pairs)), pairs_(pairs) {}

  void run(const BatchArguments& arguments) {
    launcher_.launch(BeginPairs(batch_, pairs_), per_pair_teams());
    load_frames(arguments);
    build_pyramid();
    start_coarsest(arguments.initial_flow);
    for (std::size_t s = plan_.levels.size(); s-- > 0;) {
      if (s + 1 < plan_.levels.size()) raise_state(plan_.levels[s]);
      solve_level(plan_.levels[s], warps_of(params_, s));
    }
    const LevelPlan& full = plan_.levels[0];
    smooth_flow(full);
    refit(full);
    each_pixel(full.size, 2, StoreFlow{batch_, full.grid, arguments.flow, arguments.iterations});
  }

 private:
  template <class Body>
  void each_pixel(Size size, int items, const Body& body) {
    const EachPixel<Body> program(size, pairs_, items, body);
    launcher_.loop(program, program.all_tiles);
  }
  std::int64_t per_pair_teams() const { return divide_up(pairs_, Program::kMostThreads); }
  void swap_states() { launcher_.launch(SwapStates(batch_, pairs_), per_pair_teams()); }
  StopTest stop_test(const LevelPlan& level) const { return StopTest(params_, level.size); }

  void blur_along_x(const LevelPlan& level, int items, const Planes& from, const Planes& to, const GaussianTaps& taps) {
    each_pixel(blur_groups<true>(level.size), items, Blur<true>{level.grid, batch_, from, to, taps});
  }
  void blur(const LevelPlan& level, int items, const Planes& from, const Planes& between, const Planes& to,
            const GaussianTaps& taps) {
    blur_along_x(level, items, from, between, taps);
    each_pixel(blur_groups<false>(level.size), items, Blur<false>{level.grid, batch_, between, to, taps});
  }
  void blur_frames(const LevelPlan& level, const LevelFrames& to, const GaussianTaps& taps) {
    const Planes between = Planes::of(plan_.scratch[0]);
    blur(level, 2, Planes::of(level.frames), between, Planes::of(to), taps);
  }

  void load_frames(const BatchArguments& a) {
    const LevelPlan& full = plan_.levels[0];
    each_pixel(full.size, 2, Convert{batch_, full.grid, full.frames, {a.frames[0], a.frames[1]}, a.range});
    if (params_.stretch) {
      launcher_.launch(FindExtremes(batch_, full.grid, full.frames), pairs_);
      each_pixel(full.size, 2, Stretch{batch_, full.grid, full.frames});
    }
    if (plan_.smoothing.radius >= 0) blur_frames(full, full.frames, plan_.smoothing);
  }

  void build_pyramid() {
    for (std::size_t s = 0; s + 1 < plan_.levels.size(); ++s) {
      const LevelPlan &fine = plan_.levels[s], &coarse = plan_.levels[s + 1];
      const bool blurred = plan_.reduction.radius >= 0;
      if (blurred) blur_frames(fine, plan_.scratch[1], plan_.reduction);
      const LevelFrames& from = blurred ? plan_.scratch[1] : fine.frames;
      each_pixel(coarse.size, 2, Reduce{batch_, fine.reduce, from, coarse.frames});
    }
    for (const LevelPlan& level : plan_.levels) {
      if (!high_passes_frames(params_)) break;
      blur_along_x(level, 2, Planes::of(level.frames), Planes::of(plan_.scratch[0]), plan_.high_pass);
      each_pixel(blur_groups<false>(level.size), 2,
                 HighPass{level.grid, batch_, plan_.scratch[0], level.frames, plan_.high_pass});
    }
  }

  // Zero flow needs no way down: it starts at the coarsest level.
  void start_coarsest(const float* initial_flow) {
    const LevelPlan& coarsest = plan_.levels.back();
    const LevelPlan& start = initial_flow ? plan_.levels[0] : coarsest;
    each_pixel(start.size, 2, StartFlow{batch_, start.grid, initial_flow});
    for (std::size_t s = 0; initial_flow && s + 1 < plan_.levels.size(); ++s) {
      swap_states();
      Resampling down = plan_.levels[s].reduce;
      down.interpolation = Interpolation::linear;
      const ResampleFlow program = {batch_, down, {params_.scale, params_.scale}};
      each_pixel(plan_.levels[s + 1].size, 2, program);
    }
    start_duals(coarsest, false);
    swap_states();
  }

  void start_duals(const LevelPlan& level, bool carried) {
    Resampling how = level.raise_duals;
    how.to = level.grid;
    each_pixel(level.size, 4, StartDuals{batch_, how, carried});
  }

  void raise_state(const LevelPlan& to) {
    each_pixel(to.size, 2, ResampleFlow{batch_, to.raise, {to.raise_gain[0], to.raise_gain[1]}});
    start_duals(to, params_.carry_dual);
    swap_states();
  }

  void solve_level(const LevelPlan& level, int warps) {
    differentiate(level);
    for (int warp = 0; warp < warps; ++warp) {
      begin_warp(level);
      for (int outer = 0; outer < params_.outer_iterations; ++outer) {
        median(level);
        iterate(level);
      }
      // Pairs whose stop fell inside the last launch repeat that one; the others run nothing.
      if (!level.iteration.resident && params_.epsilon > 0.0) launch_iterations(level, 0, false);
    }
  }

  void differentiate(const LevelPlan& level) {
    int mean = -1;
    if (high_passes_residuals(params_)) {
      const Planes second = {level.frames.first[1], 0, 0};
      mean = 1;
      blur(level, 1, second, Planes::data(batch_, 0), Planes::data(batch_, mean), plan_.high_pass);
    }
    const bool five_point = params_.five_point_derivative;
    each_pixel(level.size, 2, Differentiate{batch_, level.grid, level.frames, five_point, mean});
  }

  void linearise(const LevelPlan& level) {
    const DataBounds on = data_bounds(params_.border, level.size);
    const bool zero_border = params_.border == Border::zero;
    const float cubic = static_cast<float>(params_.cubic);
    const float floor = plan_.steps.gradient_floor;
    each_pixel(level.size, 1, Linearise{batch_, level.grid, level.frames, on, cubic, floor, zero_border});
    if (!high_passes_residuals(params_)) return;
    each_pixel(level.size, 1, SplitResidual{batch_, level.grid, on});
    blur_along_x(level, 2, Planes::next(batch_, 0), Planes::next(batch_, 2), plan_.high_pass);
    each_pixel(blur_groups<false>(level.size), 1, TakeMean{batch_, level.grid, on, plan_.high_pass});
  }

  void begin_warp(const LevelPlan& level) {
    linearise(level);
    if (params_.data_term == DataTerm::patch) {
      const BlurProducts<DataProducts> program(batch_, level.grid, plan_.patch);
      launcher_.launch(program, program.teams(pairs_));
      const ResidualLimit limit = residual_limit(static_cast<float>(params_.residual_scale), params_.residual_norm);
      const float inverse_scale = limit.inverse_square, data_limit = plan_.steps.data_limit;
      if (limit.norm == ResidualNorm::cauchy)
        each_pixel(level.size, 1, AveragePatches<true>{batch_, level.grid, data_limit, inverse_scale, plan_.patch});
      else
        each_pixel(level.size, 1, AveragePatches<false>{batch_, level.grid, data_limit, inverse_scale, plan_.patch});
    }
    if (params_.affine_reference) {
      const SumRows program(batch_, level.grid);
      launcher_.launch(program, program.teams(pairs_));
    }
    launcher_.launch(BeginWarp(batch_, level.grid, params_.affine_reference), pairs_);
  }

  void smooth_flow(const LevelPlan& level) {
    const GaussianTaps& taps = plan_.flow_smoothing;
    if (taps.radius < 0) return;
    blur_along_x(level, 2, Planes::current(batch_, kU), Planes::next(batch_, kU), taps);
    each_pixel(blur_groups<false>(level.size), 1, KeepEdges{batch_, level.grid, taps, inverse_square_of_edge(params_)});
  }

  void refit(const LevelPlan& level) {
    const bool credited = plan_.refit_surroundings.radius >= 0;
    if (credited)
      blur(level, 2, Planes::current(batch_, kU), Planes::current(batch_, kSurroundingsAlongX),
           Planes::current(batch_, kSurroundings), plan_.refit_surroundings);
    for (int step = 0; step < params_.refit_steps; ++step) refit_once(level, step, credited ? kSurroundings : kU);
  }

  // After the last warp of the full resolution, whose derivatives are still there.
  void refit_once(const LevelPlan& level, int step, int surroundings) {
    const RefitConstants constants = refit_constants(params_, step);
    const GaussianTaps &patch = plan_.refit[step > 0], &smoothing = plan_.refit_smoothing[step > 0];
    linearise(level);
    const BlurProducts<RefitProducts> products(batch_, level.grid, patch);
    launcher_.launch(products, products.teams(pairs_));
    each_pixel(level.size, 1, RefitPatches{batch_, level.grid, constants, surroundings, patch});
    const SumSteps rows(batch_, level.grid);
    launcher_.launch(rows, rows.teams(pairs_));
    launcher_.launch(JudgeSteps(rows, constants, pairs_), per_pair_teams());
    each_pixel(level.size, 1, WeighSteps{batch_, level.grid, constants});
    blur_along_x(level, 2, Planes::data(batch_, 0), Planes::next(batch_, 0), smoothing);
    each_pixel(blur_groups<false>(level.size), 2, AddSteps{batch_, level.grid, smoothing});
  }

  void median(const LevelPlan& level) {
    const Size groups = {divide_up(level.size.width, kMedianGroup), level.size.height};
    if (params_.median == 3) each_pixel(groups, 2, Median<3>{batch_, level.grid});
    if (params_.median == 5) each_pixel(groups, 2, Median<5>{batch_, level.grid});
  }

  void iterate(const LevelPlan& level) {
    const int inner = params_.inner_iterations;
    const int at_once = level.iteration.resident ? inner : level.iteration.iterations;
    for (int first = 0; first < inner; first += at_once)
      launch_iterations(level, std::min(at_once, inner - first), first == 0 && params_.median > 0);
  }

  void launch_iterations(const LevelPlan& level, int count, bool from_median) {
    const bool tested = params_.epsilon > 0.0;
    const StopTest stop = stop_test(level);
    with_config(params_, [&](auto config) {
      const Iterate<decltype(config)> program(batch_, pairs_, level.grid, level.iteration, plan_.steps, stop,
                                              {tested, count, from_median});
      launcher_.loop(program, program.items);
    });
    if (!level.iteration.resident)
      launcher_.launch(Decide(batch_, level.iteration, stop, count, from_median, tested), pairs_);
  }

  Launcher& launcher_;
  const TVL1Plan& plan_;
  const TVL1Params& params_;
  Batch batch_;
  int pairs_;
};

}  // namespace flowkit
