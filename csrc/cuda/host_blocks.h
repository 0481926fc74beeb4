// The block programs of the CUDA solver, run on the host: what the tests compare with the CPU solver.
#pragma once

#include "host_team.h"
#include "tvl1_batch.h"

namespace flowkit {

// All pointers are to host memory. Slow: one thread of the machine runs every thread of every block.
void tvl1_flow_blocks(const BatchArguments& arguments, int pairs, const TVL1Plan& plan, ThreadOrder order);

}  // namespace flowkit
