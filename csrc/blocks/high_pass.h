// Programs that take the local mean from a warp's residual, and from I1 before its derivatives. docs/algorithm.md,
// "Pyramid" and "One level"; the arithmetic is that of warp_math.h.
//
// One warp: SplitResidual, Blur along x from those planes into 2 and 3, TakeMean. The pair's other state is scratch.
#pragma once

#include "warp.h"

namespace flowkit {

FLOWKIT_DEVICE bool on_at(const Batch& batch, const LevelGrid& grid, const DataBounds& on, int pair, int x, int y) {
  const int i = y * grid.stride + x;
  const float u = batch.current(pair, kU)[i], v = batch.current(pair, kV)[i];
  return is_on(on, static_cast<float>(x) + u, v + static_cast<float>(y));
}

// The residual at the flow, and where the data term is on (1 or 0), into scratch planes 0 and 1.
struct SplitResidual {
  Batch batch;
  LevelGrid grid;
  DataBounds on;

  FLOWKIT_DEVICE void operator()(int pair, int, int x, int y) const {
    const int i = y * grid.stride + x;
    const Linearised<float> image = {batch.data(pair, 0)[i], batch.data(pair, 1)[i], batch.data(pair, 2)[i], 0.0f};
    batch.next(pair, 0)[i] = residual(image, batch.current(pair, kU)[i], batch.current(pair, kV)[i]);
    batch.next(pair, 1)[i] = on_at(batch, grid, on, pair, x, y) ? 1.0f : 0.0f;
  }
};

// What is left of their means along y, off the residual.
struct TakeMean {
  Batch batch;
  LevelGrid grid;
  DataBounds on;
  GaussianTaps taps;

  FLOWKIT_DEVICE void operator()(int pair, int, int column, int row) const {
    const BlurGroup<false> group(grid, column, row);
    float rho_means[kBlurredAtOnce], on_means[kBlurredAtOnce];
    group.convolve(batch.next(pair, 2), taps, rho_means);
    group.convolve(batch.next(pair, 3), taps, on_means);
    float* const data = batch.data(pair, 2);
    group.each([&](int i, int x, int y) {
      float& rho_c = data[y * grid.stride + x];
      rho_c = without_mean(rho_c, rho_means[i], on_means[i], on_at(batch, grid, on, pair, x, y));
    });
  }
};

}  // namespace flowkit
