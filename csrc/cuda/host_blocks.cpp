#include "host_blocks.h"

namespace flowkit {

void tvl1_flow_blocks(const BatchArguments& arguments, int pairs, const TVL1Plan& plan, ThreadOrder order) {
  const std::size_t bytes = plan.workspace_bytes(pairs);
  std::vector<Float4> workspace(bytes / sizeof(Float4));
  std::memset(static_cast<void*>(workspace.data()), kPoison, bytes);
  HostLauncher launcher(order);
  TVL1Batch<HostLauncher>(launcher, plan, workspace.data(), pairs).run(arguments);
}

}  // namespace flowkit
