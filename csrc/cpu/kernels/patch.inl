// The data term of a patch: averages of gradient products around each pixel, and the linear step they give.
//
// Bruhn, Weickert, Schnoerr: Lucas/Kanade Meets Horn/Schunck, IJCV 2005 (the combined local-global data term); the
// weights are one step of iteratively reweighted least squares for a robust norm of the patch's residual.
//
// One sweep over the rows: products of row y are blurred along x into a ring of rows, and row y - radius is blurred
// along y out of it and written over the planes it came from.

namespace flowkit::FLOWKIT_SIMD {

constexpr int kProducts = 6;  // gx gx, gx gy, gy gy, gx rho_c, gy rho_c, rho rho

FLOWKIT_HD void products_at(const float* u, const float* v, float* const* data, std::ptrdiff_t i,
                            Vec (&product)[kProducts]) {
  const Vec gx = load(data[0] + i), gy = load(data[1] + i), rho_c = load(data[2] + i);
  const Vec rho = rho_c + (gx * load(u + i) + gy * load(v + i));
  product[0] = gx * gx;
  product[1] = gx * gy;
  product[2] = gy * gy;
  product[3] = gx * rho_c;
  product[4] = gy * rho_c;
  product[5] = rho * rho;
}

// The products of row y, blurred along x, into six rows a stride apart; `rows`: the same with the border of the blur.
inline void blur_products(Grid g, const float* u, const float* v, float* const* data, int y, const float* weight,
                          int radius, float* out, float* rows) {
  const std::ptrdiff_t pitch = g.stride + 2 * radius;
  for (int x = 0; x < g.width; x += kLanes) {
    Vec product[kProducts];
    products_at(u, v, data, y * g.stride + x, product);
    for (int k = 0; k < kProducts; ++k) store(rows + k * pitch + radius + x, product[k]);
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
  const float inverse_scale = 1.0f / (residual_scale * residual_scale);
  const auto blurred = [&](int y) { return ring + (y < 0 ? 0 : (y < g.height ? y : g.height - 1)) % rows * ring_row; };
  for (int next = 0; next < g.height + radius; ++next) {
    if (next < g.height) blur_products(g, u, v, data, next, weight, radius, blurred(next), row);
    const int y = next - radius;
    if (y < 0) continue;
    const float *above[kMostPatchRadius + 1], *below[kMostPatchRadius + 1];
    for (int j = 0; j <= radius; ++j) {
      above[j] = blurred(y - j);
      below[j] = blurred(y + j);
    }
    for (int x = 0; x < g.width; x += kLanes) {
      Vec mean[kProducts];
      for (int k = 0; k < kProducts; ++k) mean[k] = weight[0] * load(above[0] + k * g.stride + x);
      for (int j = 1; j <= radius; ++j)
        for (int k = 0; k < kProducts; ++k)
          mean[k] += weight[j] * (load(above[j] + k * g.stride + x) + load(below[j] + k * g.stride + x));
      const Vec trust = 1.0f / root(1.0f + mean[5] * inverse_scale);
      const PatchStep<Vec> step =
          patch_step(trust * mean[0], trust * mean[1], trust * mean[2], trust * mean[3], trust * mean[4], s.data_limit);
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
