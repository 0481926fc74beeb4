// Convolution of rows and columns with a symmetric kernel: the Gaussians.

#include "../../blur_math.h"

namespace flowkit::FLOWKIT_SIMD {

// Along a row that has `radius` pixels of border on both sides.
inline void blur_along(const float* in, float* out, int width, const float* weight, int radius) {
  for (int x = 0; x < width; x += kLanes)
    store(out + x,
          symmetric_sum<Vec>(weight, radius, [&](int k) __attribute__((always_inline)) { return load(in + x + k); }));
}

// One row with replicated borders: `row` has room for radius pixels on both sides of a padded row.
inline void blur_row(const float* in, float* out, int width, const float* weight, int radius, float* row) {
  float* centre = row + radius;
  for (int x = -radius; x < width + radius; ++x) centre[x] = in[clamp_index(x, width)];
  blur_along(centre, out, width, weight, radius);
}

static void blur(Grid g, const float* in, float* out, const float* weight, int radius, float* scratch, float* row) {
  for (int y = 0; y < g.height; ++y) blur_row(in + y * g.stride, scratch + y * g.stride, g.width, weight, radius, row);
  for (int y = 0; y < g.height; ++y)
    for (int x = 0; x < g.width; x += kLanes) {
      const auto at = [&](int k) __attribute__((always_inline)) {
        return load(scratch + clamp_index(y + k, g.height) * g.stride + x);
      };
      store(out + y * g.stride + x, symmetric_sum<Vec>(weight, radius, at));
    }
}

}  // namespace flowkit::FLOWKIT_SIMD
