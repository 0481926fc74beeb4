// Programs that move the state, flow and duals, between levels, and out at the end.
#pragma once

#include "../strain_math.h"
#include "frames.h"

namespace flowkit {

// A pair's status before anything else, one team for kMostThreads pairs.
struct BeginPairs : Program {
  Batch batch;
  int pairs;

  BeginPairs(const Batch& batch, int pairs) : batch(batch), pairs(pairs) {}

  template <class Team>
  FLOWKIT_DEVICE void operator()(Team& team) const {
    team.for_each([&](int, int thread) {
      const int pair = team.index() * kMostThreads + thread;
      if (pair < pairs)
        batch.status[pair] = {1, 0, 0, 0, 0, StopProgress{}, AffineGradient{}, 0.0f, 0.0f, RefitImage{}};
    });
  }
};

// Every pair's other state becomes the current one: after a launch that has written it.
struct SwapStates : Program {
  Batch batch;
  int pairs;

  SwapStates(const Batch& batch, int pairs) : batch(batch), pairs(pairs) {}

  template <class Team>
  FLOWKIT_DEVICE void operator()(Team& team) const {
    team.for_each([&](int, int thread) {
      const int pair = team.index() * kMostThreads + thread;
      if (pair < pairs) batch.status[pair].current = 1 - batch.status[pair].current;
    });
  }
};

// The flow that the caller gave, at full resolution, or zero where it gave none; item = component.
struct StartFlow {
  Batch batch;
  LevelGrid grid;
  const float* flow;  // (pairs, 2, h, w) or null

  FLOWKIT_DEVICE void operator()(int pair, int item, int x, int y) const {
    const std::ptrdiff_t row = (static_cast<std::ptrdiff_t>(pair) * 2 + item) * grid.height + y;
    batch.next(pair, item)[y * grid.stride + x] = flow ? flow[row * grid.width + x] : 0.0f;
  }
};

// u and v of the next finer or coarser level; item = component.
struct ResampleFlow {
  Batch batch;
  Resampling how;
  double gain[2];

  FLOWKIT_DEVICE void operator()(int pair, int item, int x, int y) const {
    batch.next(pair, item)[y * how.to.stride + x] = resampled(batch.current(pair, item), how, gain[item], x, y);
  }
};

// The duals at the start of a level: zero, or carried up linearly and unscaled, without the dual at the last column and
// row, which the forward differences never reach; item = dual.
struct StartDuals {
  Batch batch;
  Resampling how;
  bool carried;

  FLOWKIT_DEVICE void operator()(int pair, int item, int x, int y) const {
    const int which = kPuX + item;
    const bool across = which == kPuX || which == kPvX;
    const bool last = across ? x == how.to.width - 1 : y == how.to.height - 1;
    const float* from = batch.current(pair, which);
    batch.next(pair, which)[y * how.to.stride + x] = !carried || last ? 0.0f : resampled(from, how, 1.0, x, y);
  }
};

// The flow, and what was counted, to where the caller wants them; item = component.
struct StoreFlow {
  Batch batch;
  LevelGrid grid;
  float* flow;  // (pairs, 2, h, w)
  std::int32_t* iterations;

  FLOWKIT_DEVICE void operator()(int pair, int item, int x, int y) const {
    const std::ptrdiff_t row = (static_cast<std::ptrdiff_t>(pair) * 2 + item) * grid.height + y;
    flow[row * grid.width + x] = batch.current(pair, item)[y * grid.stride + x];
    if (item == 0 && x == 0 && y == 0) iterations[pair] = batch.status[pair].iterations;
  }
};

}  // namespace flowkit
