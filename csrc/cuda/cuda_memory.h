// Streams, and memory on the current device, held as long as an object lives.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <string>

#include "../tvl1_params.h"
#include "cuda_errors.h"

namespace flowkit {

class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
  // Waits: what was copied to or from the caller's memory must not be under way when an error takes that away.
  ~Stream() {
    cudaStreamSynchronize(stream_);
    cudaStreamDestroy(stream_);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class DeviceBuffer {
 public:
  DeviceBuffer(std::size_t bytes, cudaStream_t stream) : stream_(stream) {
    if (bytes > 0) check(cudaMallocAsync(&data_, bytes, stream), "cudaMallocAsync");
  }
  ~DeviceBuffer() {
    if (data_) cudaFreeAsync(data_, stream_);
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  cudaStream_t stream_;
};

inline void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  check(cudaMemcpyAsync(to, from, bytes, kind, stream), "cudaMemcpyAsync");
}

inline std::size_t free_bytes() {
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return free;
}

// How many items of so many bytes to hold in so much free memory at a time, at least 1. Others use the device too: a
// quarter of what is free stays so.
inline std::size_t fitting(std::size_t free, std::size_t item_bytes) {
  return std::max<std::size_t>(1, free / 4 * 3 / item_bytes);
}

// What to say where memory was short for `count` things, each a `what`.
inline std::string no_room(std::size_t count, const char* what, Size size, std::size_t item_bytes, std::size_t free) {
  const auto megabytes = [](std::size_t bytes) { return std::to_string((bytes + 999'999) / 1'000'000) + " MB"; };
  const std::string things = std::string(what) + (count > 1 ? "s" : "");
  return "the GPU has no memory for " + std::to_string(count) + " " + things + " of " + std::to_string(size.width) +
         " x " + std::to_string(size.height) + " px at a time (" + megabytes(count * item_bytes) + "; " +
         megabytes(free) + " were free): give " + (count > 1 ? "fewer " + things : "smaller frames") +
         " a call, or end what else uses its memory";
}

// Runs the work on `count` items at a time; std::invalid_argument, as of what is too large, where there is no room for
// them.
template <class Work>
void with_room(std::size_t count, const char* what, Size size, std::size_t item_bytes, std::size_t free,
               const Work& work) {
  try {
    work();
  } catch (const OutOfDeviceMemory&) {
    throw std::invalid_argument(no_room(count, what, size, item_bytes, free));
  }
}

}  // namespace flowkit
