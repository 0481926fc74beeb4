// The local mean of a warp's residual, one pixel a lane: what goes into the Gaussians, and what comes out of them.
// docs/algorithm.md, "One level"; the arithmetic is that of csrc/warp_math.h.

namespace flowkit::FLOWKIT_SIMD {

// Where the data term is on, of pixels x .. of row y.
FLOWKIT_HD auto on_at(const DataBounds& on, Vec u, Vec v, int x, int y) {
  return is_on(on, (iota() + static_cast<float>(x)) + u, v + static_cast<float>(y));
}

static void split_residual(Grid g, WarpPlanes p, DataBounds bounds, float* rho, float* on) {
  const Vec one = in_all_lanes<Vec>(1.0f);
  for (int y = 0; y < g.height; ++y)
    for (int x = 0; x < g.width; x += kLanes) {
      const std::ptrdiff_t i = y * g.stride + x;
      const Vec u = load(p.u + i), v = load(p.v + i);
      const Linearised<Vec> image = {load(p.gx + i), load(p.gy + i), load(p.rho_c + i), Vec{}};
      store(rho + i, residual(image, u, v));
      store(on + i, select(on_at(bounds, u, v, x, y), one, Vec{}));
    }
}

static void take_mean(Grid g, WarpPlanes p, DataBounds bounds, const float* rho_mean, const float* on_mean) {
  for (int y = 0; y < g.height; ++y)
    for (int x = 0; x < g.width; x += kLanes) {
      const std::ptrdiff_t i = y * g.stride + x;
      const auto on = on_at(bounds, load(p.u + i), load(p.v + i), x, y);
      store(p.rho_c + i, without_mean(load(p.rho_c + i), load(rho_mean + i), load(on_mean + i), on));
    }
}

}  // namespace flowkit::FLOWKIT_SIMD
