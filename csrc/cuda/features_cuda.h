// Strain and motion cubes of flows on a GPU, and whether they are finite. docs/algorithm.md, "Strain".
#pragma once

#include <cstdint>

#include "../flow_feature.h"
#include "../tvl1_params.h"
#include "device_stream.h"

namespace flowkit {

// These throw as those of tvl1_cuda.h.

// flow: (n, 2, h, w) on the device; asynchronous.
void flow_feature_cuda(FlowFeature feature, const float* flow, Size size, int n, void* out, DeviceStream on);

// From host memory to host memory, as many flows at a time as the device has memory for.
void flow_feature_on_gpu(FlowFeature feature, const float* flow, Size size, std::size_t n, void* out, int device);

// finite: n flags on the device; 1 where all 2 h w floats of the flow are finite, else 0. Otherwise as
// flow_feature_cuda.
void flow_finite_cuda(const float* flow, Size size, int n, std::uint8_t* finite, DeviceStream on);

}  // namespace flowkit
