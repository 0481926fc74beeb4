// Bicubic sampling of I1 and its derivatives at (x + u, y + v), and the linearisation there, one pixel a lane.
//
// Facial flow is smooth, so the samples of a vector's neighbouring pixels nearly always have neighbouring taps: then
// taps are loaded side by side, without gathers. Where the lanes' displacements straddle a whole pixel, a window of
// five taps serves both, each lane with a weight of zero at one end, which changes no bit. Other vectors are sampled
// lane by lane.

namespace flowkit::FLOWKIT_SIMD {

// The sample points of one vector: the pixel at or left of (above) each, and the weights of the taps around it.
struct Samples {
  Vec left, top;
  CubicWeights<Vec> x, y;
};

// Points further outside than the frame are pulled to its edge, where all taps are border already.
FLOWKIT_HD Vec clamp_point(Vec p, int side) { return maximum(minimum(p, broadcast(side + 1.0f)), broadcast(-2.0f)); }

FLOWKIT_HD Samples samples_at(Vec px, Vec py, Grid g, float cubic) {
  const auto fuse = [](Vec a, Vec b, Vec c) __attribute__((always_inline)) { return fused(a, b, c); };
  px = clamp_point(px, g.width);
  py = clamp_point(py, g.height);
  const Vec left = round_down(px), top = round_down(py);
  return {left, top, cubic_weights(px - left, cubic, fuse), cubic_weights(py - top, cubic, fuse)};
}

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

// The window's sum over one plane: rows first, then the column, fused as cv2.remap does. The taps of a row are two
// vectors and what lies between them: loads that cross a cache line are what the warp's time goes into.
template <int x_taps, int y_taps>
FLOWKIT_HD Vec sum_window(const float* first, std::ptrdiff_t stride, const Window<x_taps>& x, const Window<y_taps>& y) {
  Vec value = {};
  for (int j = 0; j < y_taps; ++j, first += stride) {
    const Vec here = load(first), next = load(first + kLanes);
    Vec row = here * x.weight[0];
    row = fused(shifted<1>(here, next), x.weight[1], row);
    row = fused(shifted<2>(here, next), x.weight[2], row);
    row = fused(shifted<3>(here, next), x.weight[3], row);
    if constexpr (x_taps == 5) row = fused(shifted<4>(here, next), x.weight[4], row);
    value = j == 0 ? row * y.weight[0] : fused(row, y.weight[j], value);
  }
  return value;
}

// I1 and its derivatives at the samples of one vector.
struct Sampled {
  Vec value, dx, dy;
};

template <int x_taps, int y_taps>
FLOWKIT_HD Sampled sample_together(WarpSource source, std::ptrdiff_t stride, const Samples& s, Vec shift_x, Vec shift_y,
                                   int left, int top) {
  const Window<x_taps> x = window<x_taps>(s.x, shift_x > 0.0f);
  const Window<y_taps> y = window<y_taps>(s.y, shift_y > 0.0f);
  const std::ptrdiff_t first = (top - 1) * stride + (left - 1);
  return {sum_window(source.value + first, stride, x, y), sum_window(source.dx + first, stride, x, y),
          sum_window(source.dy + first, stride, x, y)};
}

inline float sample_lane(const float* plane, std::ptrdiff_t stride, const Samples& s, int lane) {
  const float* tap = plane + (static_cast<int>(s.top[lane]) - 1) * stride + (static_cast<int>(s.left[lane]) - 1);
  float value = 0.0f;
  for (int j = 0; j < 4; ++j, tap += stride) {
    float row = tap[0] * s.x.w[0][lane];
    for (int i = 1; i < 4; ++i) row = fused(tap[i], s.x.w[i][lane], row);
    value = j == 0 ? row * s.y.w[0][lane] : fused(row, s.y.w[j][lane], value);
  }
  return value;
}

inline Sampled sample_lanes(WarpSource source, std::ptrdiff_t stride, const Samples& s, int lanes) {
  Sampled out = {};
  for (int lane = 0; lane < lanes; ++lane) {
    out.value[lane] = sample_lane(source.value, stride, s, lane);
    out.dx[lane] = sample_lane(source.dx, stride, s, lane);
    out.dy[lane] = sample_lane(source.dy, stride, s, lane);
  }
  return out;
}

// Samples pixels x .. of row y; `present` marks the lanes that are pixels.
FLOWKIT_HD Sampled sample(WarpSource source, std::ptrdiff_t stride, const Samples& s, int x, int y, VecInt present) {
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
  return sample_lanes(source, stride, s, lanes);
}

static void warp(Grid g, WarpSource source, WarpPlanes p, DataBounds on, float cubic) {
  for (int y = 0; y < g.height; ++y)
    for (int x = 0; x < g.width; x += kLanes) {
      const std::ptrdiff_t i = y * g.stride + x;
      const Vec u = load(p.u + i), v = load(p.v + i);
      const Vec px = (iota() + static_cast<float>(x)) + u, py = v + static_cast<float>(y);
      const VecInt present = iota() < static_cast<float>(g.width - x);
      const Sampled at = sample(source, g.stride, samples_at(px, py, g, cubic), x, y, present);
      const VecInt inside = present & (px >= on.x_min) & (px <= on.x_max) & (py >= on.y_min) & (py <= on.y_max);
      const Vec gx = select(inside, at.dx, Vec{}), gy = select(inside, at.dy, Vec{});
      store(p.gx + i, gx);
      store(p.gy + i, gy);
      store(p.rho_c + i, select(inside, at.value - gx * u - gy * v - load(p.frame0 + i), Vec{}));
      store(p.square + i, gx * gx + gy * gy);
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

// A derivative from the neighbours at distance 1 and 2.
FLOWKIT_HD Vec derivative(Vec near, Vec far, bool five_point) {
  return five_point ? near * (8.0f / 12.0f) - far * (1.0f / 12.0f) : near * 0.5f;
}

static void prepare_warp(Grid g, WarpTarget target, bool five_point, bool zero_border) {
  const std::ptrdiff_t stride = g.stride;
  // Derivatives see the nearest pixel outside the image, whatever border the warp will see.
  frame_plane(g, target.value, false);
  for (int y = 0; y < g.height; ++y)
    for (int x = 0; x < g.width; x += kLanes) {
      const std::ptrdiff_t i = y * stride + x;
      const float* at = target.value + i;
      store(target.dx + i, derivative(load(at + 1) - load(at - 1), load(at + 2) - load(at - 2), five_point));
      store(target.dy + i, derivative(load(at + stride) - load(at - stride),
                                      load(at + 2 * stride) - load(at - 2 * stride), five_point));
    }
  if (zero_border) frame_plane(g, target.value, true);
  frame_plane(g, target.dx, zero_border);
  frame_plane(g, target.dy, zero_border);
}

}  // namespace flowkit::FLOWKIT_SIMD
