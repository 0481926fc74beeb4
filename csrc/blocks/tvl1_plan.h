// What a batch of one size needs and how each level runs: worked out once, before any launch.
#pragma once

#include <vector>

#include "batch.h"
#include "frames.h"
#include "iteration_plan.h"

namespace flowkit {

struct LevelPlan {
  Size size;
  LevelGrid grid;
  LevelFrames frames;
  IterationPlan iteration;
  // From this level to the next coarser one, for frames; from the next coarser one to this, for flow and duals.
  Resampling reduce, raise, raise_duals;
  double raise_gain[2];
};

class TVL1Plan {
 public:
  // Throws std::invalid_argument where the parameters or the size are beyond what the programs can do.
  TVL1Plan(Size size, const TVL1Params& params, const DeviceLimits& limits);

  std::size_t workspace_bytes(int pairs) const;
  // The batch's memory, cut from a workspace of that size, aligned as any allocation.
  Batch cut(void* workspace, int pairs) const;

  TVL1Params params;
  StepSizes steps;
  std::vector<LevelPlan> levels;  // full resolution first
  GaussianTaps smoothing, reduction, high_pass, patch, refit_surroundings, flow_smoothing;
  GaussianTaps refit[2], refit_smoothing[2];  // of the first step, and of all others
  LevelFrames scratch[2];                     // planes of the state, idle while the pyramid is built

 private:
  Batch measures_ = {};  // strides only
  static constexpr std::size_t kAlign = 256;
  struct Parts {
    std::size_t status, errors, moments, planes, end;
  };
  Parts parts(int pairs) const;
};

}  // namespace flowkit
