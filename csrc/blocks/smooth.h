// The program that smooths the flow after the last warp. docs/algorithm.md, "Smoothing the flow"; the arithmetic is
// that of smooth_math.h.
#pragma once

#include "../smooth_math.h"
#include "frames.h"

namespace flowkit {

// What Blur has left of u and v along x, in the pair's scratch, blurred along y: their means, which take from the flow
// what is no edge.
struct KeepEdges {
  Batch batch;
  LevelGrid grid;
  GaussianTaps taps;
  float inverse_square;

  FLOWKIT_DEVICE void operator()(int pair, int, int column, int row) const {
    const BlurGroup<false> group(grid, column, row);
    float mean_u[kBlurredAtOnce], mean_v[kBlurredAtOnce];
    group.convolve(batch.next(pair, kU), taps, mean_u);
    group.convolve(batch.next(pair, kV), taps, mean_v);
    float *const u = batch.current(pair, kU), *const v = batch.current(pair, kV);
    group.each([&](int i, int x, int y) {
      const int at = y * grid.stride + x;
      const FlowVector kept = edges_kept({u[at], v[at]}, {mean_u[i], mean_v[i]}, inverse_square);
      u[at] = kept.u;
      v[at] = kept.v;
    });
  }
};

}  // namespace flowkit
