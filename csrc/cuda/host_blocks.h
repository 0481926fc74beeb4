// The block programs of the CUDA solver, run on the host: what the tests compare with the CPU solver.
#pragma once

#include "batch_arguments.h"
#include "features_cuda.h"
#include "host_team.h"
#include "iteration_plan.h"

namespace flowkit {

// All pointers are to host memory. Slow: one thread of the machine runs every thread of every block.
void tvl1_flow_blocks(const BatchArguments& arguments, Size size, int pairs, const TVL1Params& params,
                      const DeviceLimits& limits, Order order);

void flow_feature_blocks(FlowFeature feature, const float* flow, Size size, int n, void* out);

void flow_finite_blocks(const float* flow, Size size, int n, std::uint8_t* finite, Order order);

// How each level would be iterated, full resolution first.
std::vector<IterationPlan> iteration_plans(Size size, const TVL1Params& params, const DeviceLimits& limits);

}  // namespace flowkit
