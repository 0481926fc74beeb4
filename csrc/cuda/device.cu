#include <cuda_runtime.h>

#include "device.h"

namespace flowkit {

Devices cuda_devices() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    // The runtime keeps the error; a later call must not report it as its own.
    cudaGetLastError();
    return {{}, cudaGetErrorString(status)};
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
