// TV-L1 optical flow of a batch of pairs on a GPU. docs/cuda.md says how; docs/algorithm.md what.
#pragma once

#include "../blocks/batch_arguments.h"
#include "../tvl1_params.h"
#include "device_stream.h"

namespace flowkit {

// All of these throw std::runtime_error naming the CUDA call that failed, and std::invalid_argument for sizes and
// parameters that the programs cannot do, or that the device has no memory for.

// The scratch memory that tvl1_flow_cuda needs, on that device.
std::size_t tvl1_workspace_bytes(Size size, int pairs, const TVL1Params& params, int device);

// All pointers are to memory of the device; asynchronous. `workspace`: aligned as cudaMalloc's, of at least
// tvl1_workspace_bytes; its contents do not matter.
void tvl1_flow_cuda(const BatchArguments& arguments, Size size, int pairs, const TVL1Params& params, void* workspace,
                    std::size_t workspace_bytes, DeviceStream on);

// From host memory to host memory, as many pairs at a time as the device has memory for. Frames are contiguous.
void tvl1_flow_on_gpu(const BatchArguments& arguments, Size size, std::size_t pairs, const TVL1Params& params,
                      int device);

}  // namespace flowkit
