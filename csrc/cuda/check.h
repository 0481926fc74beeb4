// Errors of the CUDA runtime as exceptions.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace flowkit {

// The device has less memory left than a call needs.
class OutOfDeviceMemory : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  // The runtime keeps the error; a later call must not report it as its own.
  cudaGetLastError();
  const std::string what = std::string(call) + ": " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation) throw OutOfDeviceMemory(what);
  throw std::runtime_error(what);
}

}  // namespace flowkit
