// What the parts of the stand-in know of each other: a launch (launch.cpp), the devices' memory (memory.cpp), and the
// calls of the runtime and the driver (calls.cpp), which one thread makes at a time.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>

#include "runtime.h"

constexpr int kPoison = 0xff;  // bytes that make NaN of every float

// Runs the kernel on the current device's memory; returns what went wrong, or nothing.
std::string run_launch(const Kernel& kernel, const cudaLaunchConfig_t& config, unsigned ranks, const void* argument,
                       int device);

void* allocate(std::size_t bytes, int device);
bool release(void* address);
std::size_t allocated_bytes(int device);
bool is_allocated(const void* address, std::size_t bytes, int device);
// From here on kernels run on that device, in so many clusters.
void begin_launch_in_memory(unsigned clusters, int device);

// A number in the environment, or another one.
std::size_t option(const char* name, std::size_t otherwise);
