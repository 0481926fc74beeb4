#include <cuda_runtime.h>

#include <algorithm>

#include "../strain_math.h"
#include "check.h"
#include "strain.h"

namespace flowkit {

namespace {

class DeviceBuffer {
 public:
  explicit DeviceBuffer(std::size_t floats) { check(cudaMalloc(&data_, floats * sizeof(float)), "cudaMalloc"); }
  ~DeviceBuffer() { cudaFree(data_); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  float* data() const { return data_; }

 private:
  float* data_ = nullptr;
};

// One thread a pixel, one grid row a flow of the batch.
__global__ void strain_kernel(const float* flows, int height, int width, float* out) {
  const std::size_t area = static_cast<std::size_t>(height) * width;
  const std::size_t pixel = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
  if (pixel >= area) return;
  const FlowView flow = {flows + blockIdx.y * 2 * area, width, height};
  const Strain e = strain_at(flow, static_cast<int>(pixel % width), static_cast<int>(pixel / width));
  float* target = out + blockIdx.y * 3 * area + pixel;
  target[0] = e.exx;
  target[area] = e.eyy;
  target[2 * area] = e.exy;
}

}  // namespace

void strain_tensor_cuda(const float* flows, std::size_t n, int height, int width, float* out) {
  constexpr unsigned kThreads = 256;
  constexpr std::size_t kMostGridRows = 65535;
  const std::size_t area = static_cast<std::size_t>(height) * width;
  std::size_t free_bytes = 0, total_bytes = 0;
  check(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo");
  const std::size_t fitting = std::max<std::size_t>(1, free_bytes / 4 / (5 * area * sizeof(float)));
  const std::size_t batch = std::min({n, fitting, kMostGridRows});
  const DeviceBuffer in(2 * area * batch), result(3 * area * batch);
  for (std::size_t first = 0; first < n; first += batch) {
    const std::size_t count = std::min(batch, n - first);
    check(cudaMemcpy(in.data(), flows + first * 2 * area, count * 2 * area * sizeof(float), cudaMemcpyHostToDevice),
          "cudaMemcpy");
    const dim3 grid(static_cast<unsigned>((area + kThreads - 1) / kThreads), static_cast<unsigned>(count));
    strain_kernel<<<grid, kThreads>>>(in.data(), height, width, result.data());
    check(cudaGetLastError(), "strain_kernel");
    check(cudaMemcpy(out + first * 3 * area, result.data(), count * 3 * area * sizeof(float), cudaMemcpyDeviceToHost),
          "cudaMemcpy");
  }
}

}  // namespace flowkit
