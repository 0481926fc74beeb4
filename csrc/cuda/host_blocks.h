// The block programs of the CUDA solver, run on the host: what the tests compare with the CPU solver.
#pragma once

#include "batch_arguments.h"
#include "host_team.h"
#include "iteration_plan.h"

namespace flowkit {

// All pointers are to host memory. Slow: one thread of the machine runs every thread of every block.
void tvl1_flow_blocks(const BatchArguments& arguments, Size size, int pairs, const TVL1Params& params,
                      const DeviceLimits& limits, ThreadOrder order);

// flow: (pairs, 2, h, w); cube: (pairs, 3, h, w), of float or of halves' bits.
void motion_cube_blocks(const float* flow, Size size, int pairs, float* cube);
void motion_cube_blocks(const float* flow, Size size, int pairs, std::uint16_t* cube);

// How each level would be iterated, full resolution first.
std::vector<IterationPlan> iteration_plans(Size size, const TVL1Params& params, const DeviceLimits& limits);

}  // namespace flowkit
