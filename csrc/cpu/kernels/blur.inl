// Convolution of rows and columns with a symmetric kernel: the Gaussians.

namespace flowkit::FLOWKIT_SIMD {

// Along a row that has `radius` pixels of border on both sides.
inline void blur_along(const float* in, float* out, int width, const float* weight, int radius) {
  for (int x = 0; x < width; x += kLanes) {
    Vec value = weight[0] * load(in + x);
    for (int k = 1; k <= radius; ++k) value += weight[k] * (load(in + x - k) + load(in + x + k));
    store(out + x, value);
  }
}

// One row with replicated borders: `row` has room for radius pixels on both sides of a padded row.
inline void blur_row(const float* in, float* out, int width, const float* weight, int radius, float* row) {
  float* centre = row + radius;
  for (int x = -radius; x < width + radius; ++x) centre[x] = in[x < 0 ? 0 : (x < width ? x : width - 1)];
  blur_along(centre, out, width, weight, radius);
}

static void blur(Grid g, const float* in, float* out, const float* weight, int radius, float* scratch, float* row) {
  for (int y = 0; y < g.height; ++y) blur_row(in + y * g.stride, scratch + y * g.stride, g.width, weight, radius, row);
  const auto clamped = [&](int y) { return scratch + (y < 0 ? 0 : (y < g.height ? y : g.height - 1)) * g.stride; };
  for (int y = 0; y < g.height; ++y)
    for (int x = 0; x < g.width; x += kLanes) {
      Vec value = weight[0] * load(clamped(y) + x);
      for (int k = 1; k <= radius; ++k) value += weight[k] * (load(clamped(y - k) + x) + load(clamped(y + k) + x));
      store(out + y * g.stride + x, value);
    }
}

}  // namespace flowkit::FLOWKIT_SIMD
