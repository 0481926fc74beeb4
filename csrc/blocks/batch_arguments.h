// What a caller of the block programs gives: frames in, flow out.
#pragma once

#include "../view.h"

namespace flowkit {

// Frames, initial flow (or null) and results of a batch, in memory that the programs can reach.
struct BatchArguments {
  FrameBatch frames[2];
  ValueRange range;
  const float* initial_flow;  // (pairs, 2, h, w) or null
  float* flow;                // (pairs, 2, h, w)
  std::int32_t* iterations;   // (pairs)
};

}  // namespace flowkit
