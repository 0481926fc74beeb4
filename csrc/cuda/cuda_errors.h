// Errors of the CUDA runtime as exceptions.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace flowkit {

inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  // The runtime keeps the error; a later call must not report it as its own.
  cudaGetLastError();
  throw std::runtime_error(std::string(call) + ": " + cudaGetErrorString(status));
}

}  // namespace flowkit
