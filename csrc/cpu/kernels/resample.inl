// Separable resampling between the levels of the pyramid.

namespace flowkit::FLOWKIT_SIMD {

// The taps of `lanes` outputs from output x on. Where they lie within two vectors, as when shrinking by less than two,
// they are picked out of those; the lanes behind the last output get anything.
FLOWKIT_HD Vec pick(const float* in, const int32_t* index, int lanes) {
  const int first = index[0];
  if (index[lanes - 1] - first < 2 * kLanes) {
    VecInt place;
    __builtin_memcpy(&place, index, sizeof place);
    return shuffled(load(in + first), load(in + first + kLanes), place - first);
  }
  Vec value = {};
  for (int i = 0; i < lanes; ++i) value[i] = in[index[i]];
  return value;
}

inline void resample_row(const float* in, float* out, AxisTaps taps) {
  const int n = taps.n;
  for (int x = 0; x < n; x += kLanes) {
    const int lanes = n - x < kLanes ? n - x : kLanes;
    const auto tap = [&](int k) __attribute__((always_inline)) { return pick(in, taps.index + k * n + x, lanes); };
    const auto weight = [&](int k) __attribute__((always_inline)) { return load(taps.weight + k * n + x); };
    const Vec value = resampled_along<Vec>(taps.taps == 2, tap, weight);
    store(out + x, lanes == kLanes ? value : select(iota() < static_cast<float>(lanes), value, Vec{}));
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
    for (int x = 0; x < out_grid.width; x += kLanes) {
      const auto tap = [&](int k) __attribute__((always_inline)) { return load(row[k] + x); };
      const auto weight = [&](int k)
                              __attribute__((always_inline)) { return in_all_lanes<Vec>(y_taps.weight[k * n + y]); };
      store(out + y * stride + x, scaled(resampled_along<Vec>(y_taps.taps == 2, tap, weight), gain));
    }
  }
}

}  // namespace flowkit::FLOWKIT_SIMD
