// Strain of a batch of flows on the GPU.
#pragma once

#include <cstddef>

namespace flowkit {

// flows: (n, 2, h, w) in host memory; out: (n, 3, h, w) = exx, eyy, exy in host memory. Copies in, computes, copies out
// on the current device, at most a quarter of its free memory at a time. Throws std::runtime_error naming the call that
// failed.
void strain_tensor_cuda(const float* flows, std::size_t n, int height, int width, float* out);

}  // namespace flowkit
