#include "host_blocks.h"

#include "features.h"
#include "flow_finite.h"
#include "tvl1_batch.h"

namespace flowkit {

void tvl1_flow_blocks(const BatchArguments& arguments, Size size, int pairs, const TVL1Params& params,
                      const DeviceLimits& limits, Order order) {
  const TVL1Plan plan(size, params, limits);
  const std::size_t bytes = plan.workspace_bytes(pairs);
  std::vector<Float4> workspace(bytes / sizeof(Float4));
  std::memset(static_cast<void*>(workspace.data()), kPoison, bytes);
  HostLauncher launcher(order);
  TVL1Batch<HostLauncher>(launcher, plan, workspace.data(), pairs).run(arguments);
}

void flow_feature_blocks(FlowFeature feature, const float* flow, Size size, int n, void* out) {
  HostLauncher launcher(Order::forward);
  launch_feature(launcher, feature, flow, size, n, out);
}

void flow_finite_blocks(const float* flow, Size size, int n, std::uint8_t* finite, Order order) {
  HostLauncher launcher(order);
  launch_flow_finite(launcher, flow, size, n, finite);
}

std::vector<IterationPlan> iteration_plans(Size size, const TVL1Params& params, const DeviceLimits& limits) {
  std::vector<IterationPlan> plans;
  for (const LevelPlan& level : TVL1Plan(size, params, limits).levels) plans.push_back(level.iteration);
  return plans;
}

}  // namespace flowkit
