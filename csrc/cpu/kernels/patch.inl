// The data term of a patch (csrc/patch_math.h): averages of gradient products around each pixel, and the linear step
// they give.
//
// One sweep over the rows: products of row y are blurred along x into a ring of rows, and row y - radius is blurred
// along y out of it and written over the planes it came from.

#include "../../patch_math.h"

namespace flowkit::FLOWKIT_SIMD {

// The products of row y, blurred along x, into six rows a stride apart; `rows`: the same with the border of the blur.
inline void blur_products(Grid g, const float* u, const float* v, float* const* data, int y, const float* weight,
                          int radius, float* out, float* rows) {
  const std::ptrdiff_t pitch = g.stride + 2 * radius;
  for (int x = 0; x < g.width; x += kLanes) {
    const std::ptrdiff_t i = y * g.stride + x;
    const PatchProducts<Vec> products =
        patch_products(load(data[0] + i), load(data[1] + i), load(data[2] + i), load(u + i), load(v + i));
    for (int k = 0; k < kProducts; ++k) store(rows + k * pitch + radius + x, products.at[k]);
  }
  for (int k = 0; k < kProducts; ++k) {
    float* centre = rows + k * pitch + radius;
    for (int x = 1; x <= radius; ++x) {
      centre[-x] = centre[0];
      centre[g.width - 1 + x] = centre[g.width - 1];
    }
    blur_along(centre, out + k * g.stride, g.width, weight, radius);
  }
}

static void average_patches(Grid g, const float* u, const float* v, float* const* data, StepSizes s,
                            float residual_scale, const float* weight, int radius, float* ring) {
  const int rows = 2 * radius + 1;
  const std::ptrdiff_t ring_row = kProducts * g.stride;
  float* row = ring + rows * ring_row;
  const float inverse_scale = inverse_square(residual_scale);
  const auto blurred = [&](int y) { return ring + clamp_index(y, g.height) % rows * ring_row; };
  for (int next = 0; next < g.height + radius; ++next) {
    if (next < g.height) blur_products(g, u, v, data, next, weight, radius, blurred(next), row);
    const int y = next - radius;
    if (y < 0) continue;
    const float* from[2 * kMostPatchRadius + 1];
    for (int j = -radius; j <= radius; ++j) from[radius + j] = blurred(y + j);
    for (int x = 0; x < g.width; x += kLanes) {
      const auto at = [&](int j) __attribute__((always_inline)) {
        PatchProducts<Vec> products;
        for (int k = 0; k < kProducts; ++k) products.at[k] = load(from[radius + j] + k * g.stride + x);
        return products;
      };
      const PatchStep<Vec> step =
          patch_step(symmetric_sum<PatchProducts<Vec>>(weight, radius, at), inverse_scale, s.data_limit);
      const std::ptrdiff_t i = y * g.stride + x;
      store(data[0] + i, step.a11);
      store(data[1] + i, step.a12);
      store(data[2] + i, step.a22);
      store(data[3] + i, step.k1);
      store(data[4] + i, step.k2);
    }
  }
}

}  // namespace flowkit::FLOWKIT_SIMD
