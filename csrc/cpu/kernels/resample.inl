// Separable resampling between the levels of the pyramid.

namespace flowkit::FLOWKIT_SIMD {

// Linear interpolation from a (t = 0) to b (t = 1), rounded as cv2.resize does.
FLOWKIT_HD Vec between(Vec a, Vec b, Vec t) { return fused(t, b - a, a); }

inline void resample_row(const float* in, float* out, AxisTaps taps) {
  const int n = taps.n;
  for (int x = 0; x < n; x += kLanes) {
    const int lanes = n - x < kLanes ? n - x : kLanes;
    Vec tap[4] = {}, weight[4] = {};
    for (int k = 0; k < taps.taps; ++k)
      for (int i = 0; i < lanes; ++i) tap[k][i] = in[taps.index[k * n + x + i]];
    const int weights = taps.taps == 2 ? 1 : 4;
    for (int k = 0; k < weights; ++k)
      for (int i = 0; i < lanes; ++i) weight[k][i] = taps.weight[k * n + x + i];
    store(out + x, taps.taps == 2 ? between(tap[0], tap[1], weight[0])
                                  : weight[0] * tap[0] + weight[1] * tap[1] + weight[2] * tap[2] + weight[3] * tap[3]);
  }
}

static void resample(Grid in_grid, const float* in, Grid out_grid, float* out, AxisTaps x_taps, AxisTaps y_taps,
                     double gain, float* scratch) {
  const std::ptrdiff_t stride = out_grid.stride;
  for (int y = 0; y < in_grid.height; ++y) resample_row(in + y * in_grid.stride, scratch + y * stride, x_taps);
  const int n = y_taps.n;
  for (int y = 0; y < n; ++y) {
    const float* row[4] = {};
    for (int k = 0; k < y_taps.taps; ++k) row[k] = scratch + y_taps.index[k * n + y] * stride;
    const float* w = y_taps.weight + y;
    for (int x = 0; x < out_grid.width; x += kLanes) {
      const Vec value = y_taps.taps == 2 ? between(load(row[0] + x), load(row[1] + x), broadcast(w[0]))
                                         : w[0] * load(row[0] + x) + w[n] * load(row[1] + x) +
                                               w[2 * n] * load(row[2] + x) + w[3 * n] * load(row[3] + x);
      store(out + y * stride + x, __builtin_convertvector(gain * __builtin_convertvector(value, VecDouble), Vec));
    }
  }
}

}  // namespace flowkit::FLOWKIT_SIMD
