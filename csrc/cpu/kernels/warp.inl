// Bicubic sampling of I1 and its derivatives at (x + u, y + v), and the linearisation there, one pixel a lane.
//
// Facial flow is smooth, so the samples of a vector's neighbouring pixels nearly always have neighbouring taps: then
// taps are loaded side by side, without gathers. Where the lanes' displacements straddle a whole pixel, a window of
// five taps serves both, each lane with a weight of zero at one end, which changes no bit. The taps of other
// vectors are gathered lane by lane.

namespace flowkit::FLOWKIT_SIMD {

// The weights in a window of `taps` (4 or 5) taps that begins one before `base`, for lanes whose pixel is base or base
// + 1.
template <int taps>
struct Window {
  Vec weight[taps];
};

template <int taps>
FLOWKIT_HD Window<taps> window(const CubicWeights<Vec>& own, VecInt shifted) {
  Window<taps> out;
  for (int i = 0; i < taps; ++i) {
    const Vec here = i < 4 ? own.w[i] : Vec{};
    out.weight[i] = taps == 4 ? here : select(shifted, i > 0 ? own.w[i - 1] : Vec{}, here);
  }
  return out;
}

// The window's sum over one plane. The taps of a row are two vectors and what lies between them: loads that cross a
// cache line are what the warp's time goes into.
template <int x_taps, int y_taps>
FLOWKIT_HD Vec sum_window(const float* first, std::ptrdiff_t stride, const Window<x_taps>& x, const Window<y_taps>& y) {
  return sum_taps(x.weight, y.weight, [&](int j) __attribute__((always_inline)) {
    const Vec here = load(first + j * stride), next = load(first + j * stride + kLanes);
    TapRow<Vec, x_taps> row = {here, shifted<1>(here, next), shifted<2>(here, next), shifted<3>(here, next)};
    if constexpr (x_taps == 5) row.at[4] = shifted<4>(here, next);
    return row;
  });
}

template <int x_taps, int y_taps>
FLOWKIT_HD Sampled<Vec> sample_together(WarpSource source, std::ptrdiff_t stride, const SamplePoint<Vec>& s,
                                        Vec shift_x, Vec shift_y, int left, int top) {
  const Window<x_taps> x = window<x_taps>(s.x, shift_x > 0.0f);
  const Window<y_taps> y = window<y_taps>(s.y, shift_y > 0.0f);
  const std::ptrdiff_t first = (top - 1) * stride + (left - 1);
  return {sum_window(source.value + first, stride, x, y), sum_window(source.dx + first, stride, x, y),
          sum_window(source.dy + first, stride, x, y)};
}

// The sum over one plane, each of the first `lanes` lanes from taps of its own; 0 in the others.
inline Vec sum_apart(const float* plane, std::ptrdiff_t stride, const SamplePoint<Vec>& s, int lanes) {
  return sum_taps(s.x.w, s.y.w, [&](int j) {
    TapRow<Vec, 4> row = {};
    for (int lane = 0; lane < lanes; ++lane) {
      const int left = static_cast<int>(s.left[lane]), top = static_cast<int>(s.top[lane]);
      const float* tap = plane + (top - 1 + j) * stride + (left - 1);
      for (int i = 0; i < 4; ++i) row.at[i][lane] = tap[i];
    }
    return row;
  });
}

inline Sampled<Vec> sample_apart(WarpSource source, std::ptrdiff_t stride, const SamplePoint<Vec>& s, int lanes) {
  return {sum_apart(source.value, stride, s, lanes), sum_apart(source.dx, stride, s, lanes),
          sum_apart(source.dy, stride, s, lanes)};
}

// Samples pixels x .. of row y; `present` marks the lanes that are pixels.
FLOWKIT_HD Sampled<Vec> sample(WarpSource source, std::ptrdiff_t stride, const SamplePoint<Vec>& s, int x, int y,
                               VecInt present) {
  const Vec offset_x = s.left - (iota() + static_cast<float>(x));
  const Vec offset_y = s.top - static_cast<float>(y);
  // How far each lane's displacement is above the first one's, in whole pixels.
  const Vec from_first_x = select(present, offset_x - offset_x[0], Vec{});
  const Vec from_first_y = select(present, offset_y - offset_y[0], Vec{});
  const bool same_x = all(from_first_x == 0.0f), same_y = all(from_first_y == 0.0f);
  const float base_x = all(from_first_x >= 0.0f) ? 0.0f : -1.0f, base_y = all(from_first_y >= 0.0f) ? 0.0f : -1.0f;
  const Vec shift_x = from_first_x - base_x, shift_y = from_first_y - base_y;
  const int left = x + static_cast<int>(offset_x[0] + base_x), top = y + static_cast<int>(offset_y[0] + base_y);
  if (same_x && same_y) return sample_together<4, 4>(source, stride, s, shift_x, shift_y, left, top);
  if (all((shift_x >= 0.0f) & (shift_x <= 1.0f) & (shift_y >= 0.0f) & (shift_y <= 1.0f))) {
    if (same_x) return sample_together<4, 5>(source, stride, s, shift_x, shift_y, left, top);
    if (same_y) return sample_together<5, 4>(source, stride, s, shift_x, shift_y, left, top);
    return sample_together<5, 5>(source, stride, s, shift_x, shift_y, left, top);
  }
  int lanes = 0;
  while (lanes < kLanes && present[lanes]) ++lanes;
  return sample_apart(source, stride, s, lanes);
}

static void warp(Grid g, WarpSource source, WarpPlanes p, DataBounds on, float cubic) {
  for (int y = 0; y < g.height; ++y)
    for (int x = 0; x < g.width; x += kLanes) {
      const std::ptrdiff_t i = y * g.stride + x;
      const Vec u = load(p.u + i), v = load(p.v + i);
      const Vec px = (iota() + static_cast<float>(x)) + u, py = v + static_cast<float>(y);
      const VecInt present = iota() < static_cast<float>(g.width - x);
      const SamplePoint<Vec> point = sample_point(px, py, g.width, g.height, cubic);
      const Sampled<Vec> at = sample(source, g.stride, point, x, y, present);
      const Linearised<Vec> image = linearised(at, load(p.frame0 + i), u, v, present & is_on(on, px, py));
      store(p.gx + i, image.gx);
      store(p.gy + i, image.gy);
      store(p.rho_c + i, image.rho_c);
      store(p.square + i, image.square);
    }
}

// The border around the interior of one plane.
inline void frame_plane(Grid g, float* plane, bool zero_border) {
  constexpr int frame = WarpSource::kFrame;
  for (int y = 0; y < g.height; ++y) {
    float* row = plane + y * g.stride;
    for (int k = 1; k <= frame; ++k) {
      row[-k] = zero_border ? 0.0f : row[0];
      row[g.width - 1 + k] = zero_border ? 0.0f : row[g.width - 1];
    }
  }
  const std::size_t bytes = sizeof(float) * (g.width + 2 * frame);
  const float *first = plane - frame, *last = plane + (g.height - 1) * g.stride - frame;
  for (int k = 1; k <= frame; ++k) {
    float *above = plane - k * g.stride - frame, *below = plane + (g.height - 1 + k) * g.stride - frame;
    if (zero_border) {
      __builtin_memset(above, 0, bytes);
      __builtin_memset(below, 0, bytes);
    } else {
      __builtin_memcpy(above, first, bytes);
      __builtin_memcpy(below, last, bytes);
    }
  }
}

static void prepare_warp(Grid g, WarpTarget target, bool five_point, bool zero_border) {
  const std::ptrdiff_t stride = g.stride;
  // Derivatives see the nearest pixel outside the image, whatever border the warp will see.
  frame_plane(g, target.value, false);
  for (int y = 0; y < g.height; ++y)
    for (int x = 0; x < g.width; x += kLanes) {
      const std::ptrdiff_t i = y * stride + x;
      const float* here = target.value + i;
      const auto across = [&](int k) __attribute__((always_inline)) { return load(here + k); };
      const auto down = [&](int k) __attribute__((always_inline)) { return load(here + k * stride); };
      store(target.dx + i, derivative<Vec>(across, five_point));
      store(target.dy + i, derivative<Vec>(down, five_point));
    }
  if (zero_border) frame_plane(g, target.value, true);
  frame_plane(g, target.dx, zero_border);
  frame_plane(g, target.dy, zero_border);
}

}  // namespace flowkit::FLOWKIT_SIMD
