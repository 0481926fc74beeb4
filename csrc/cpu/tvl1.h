// TV-L1 optical flow on the CPU: one solver object a worker and image size. docs/algorithm.md is the specification.
#pragma once

#include <memory>
#include <vector>

#include "../tvl1_math.h"
#include "../tvl1_params.h"
#include "../view.h"
#include "kernels.h"
#include "pair_threads.h"

namespace flowkit {

class TVL1Solver {
 public:
  // At most `threads` share the iterations of a pair, as many as find work in them; the result does not depend on how
  // many.
  TVL1Solver(Size size, const TVL1Params& params, const KernelTable& kernels, int threads);
  ~TVL1Solver();
  TVL1Solver(const TVL1Solver&) = delete;
  TVL1Solver& operator=(const TVL1Solver&) = delete;

  // flow: (2, h, w) contiguous, px. initial_flow: the same, or null for zero. Returns the iterations that ran, over all
  // levels and warps. The result depends on the arguments alone, not on earlier calls.
  int solve(const FrameView& frame0, const FrameView& frame1, ValueRange range, const float* initial_flow, float* flow);

 private:
  struct Level;
  struct Planes;

  void load_frames(const FrameView& frame0, const FrameView& frame1, ValueRange range);
  void build_pyramid();
  void start_coarsest(const float* initial_flow);
  void upsample_flow(std::size_t to);
  void upsample_dual(std::size_t to);
  int solve_level(std::size_t level);
  void differentiate(const Level& level);
  void warp(const Level& level);
  int iterate_warp(std::size_t level);
  void smooth_flow();
  void refit();

  TVL1Params params_;
  const KernelTable& kernels_;
  PairThreads threads_;
  StepSizes steps_;
  std::vector<Level> levels_;
  std::unique_ptr<Planes> planes_;
};

}  // namespace flowkit
