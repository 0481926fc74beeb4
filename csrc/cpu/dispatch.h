// Which SIMD levels this machine has, and the one in use.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace flowkit {

// The names of the levels that were compiled and that this processor can run, slowest first.
std::vector<std::string> simd_levels();

// Chooses a level by name, or the fastest for "auto". Throws std::invalid_argument for one this machine cannot run.
// Calls in flight keep the level they began with.
void set_simd(const std::string& name);

const KernelTable& kernels();

}  // namespace flowkit
