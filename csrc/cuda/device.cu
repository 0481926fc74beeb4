#include <cuda_runtime.h>

#include "device.h"

namespace flowkit {

namespace {

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// The runtime's own words for a missing driver are those for one that is too old.
std::string driver_problem() {
  int version = 0;
  if (cudaDriverGetVersion(&version) != cudaSuccess || version == 0) return "no NVIDIA driver is installed";
  return "its driver is for CUDA " + version_text(version) + " and this build needs " + version_text(CUDART_VERSION);
}

}  // namespace

Devices cuda_devices() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    // The runtime keeps the error; a later call must not report it as its own.
    cudaGetLastError();
    return {{}, status == cudaErrorInsufficientDriver ? driver_problem() : cudaGetErrorString(status)};
  }
  Devices found;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp p;
    if (cudaGetDeviceProperties(&p, i) == cudaSuccess)
      found.devices.push_back({p.name, p.major, p.minor, p.totalGlobalMem});
  }
  if (found.devices.empty()) found.problem = "the driver lists no GPU";
  return found;
}

}  // namespace flowkit
