// Bicubic sampling of I1 and its derivatives at (x + u, y + v), and the linearisation there.
//
// I1 and its two derivatives lie interleaved, so one address and one set of weights serve all three. A frame of border
// texels replaces every test for the image's edge.

namespace flowkit::FLOWKIT_SIMD {

FLOWKIT_HD Texel load_texel(const float* at) {
  Texel value;
  __builtin_memcpy(&value, at, sizeof value);
  return value;
}

// The texel and the weights of each sample of row y. Points further outside than the frame are pulled to its edge,
// where all taps are border already.
inline void locate_row(const Grid& g, const WarpPlanes& p, std::ptrdiff_t texel_stride, float cubic, int y) {
  const Vec shift = broadcast(static_cast<float>(WarpSource::kFrame));
  const auto fuse = [](Vec a, Vec b, Vec c) __attribute__((always_inline)) { return fused(a, b, c); };
  const std::ptrdiff_t at = y * g.stride;
  for (int x = 0; x < g.width; x += kLanes) {
    Vec px = (iota() + static_cast<float>(x)) + load(p.u + at + x);
    Vec py = load(p.v + at + x) + static_cast<float>(y);
    px = maximum(minimum(px, broadcast(g.width + 1.0f)), broadcast(-2.0f));
    py = maximum(minimum(py, broadcast(g.height + 1.0f)), broadcast(-2.0f));
    // Truncation rounds down once the coordinate is positive; the second step mends a sum that was rounded up to the
    // next integer.
    VecInt left = __builtin_convertvector(px + shift, VecInt) - WarpSource::kFrame;
    VecInt top = __builtin_convertvector(py + shift, VecInt) - WarpSource::kFrame;
    left += __builtin_convertvector(left, Vec) > px;
    top += __builtin_convertvector(top, Vec) > py;
    const CubicWeights<Vec> wx = cubic_weights(px - __builtin_convertvector(left, Vec), cubic, fuse);
    const CubicWeights<Vec> wy = cubic_weights(py - __builtin_convertvector(top, Vec), cubic, fuse);
    for (int k = 0; k < 4; ++k) {
      store(p.x_weights[k] + x, wx.w[k]);
      store(p.y_weights[k] + x, wy.w[k]);
    }
    constexpr int first = WarpSource::kFrame - 1;
    store(p.first_texel + x, (top + first) * static_cast<int32_t>(texel_stride) + (left + first));
  }
}

// (I1, dI1/dx, dI1/dy, 0) at sample x of the located row: rows first, then the column, as cv2.remap sums.
FLOWKIT_HD Texel sample(const WarpSource& source, const WarpPlanes& p, int x) {
  const float* tap = source.texels + 4 * static_cast<std::ptrdiff_t>(p.first_texel[x]);
  Texel value = {};
  for (int j = 0; j < 4; ++j, tap += 4 * source.stride) {
    Texel row = load_texel(tap) * p.x_weights[0][x];
    for (int i = 1; i < 4; ++i) row = fused_texel(load_texel(tap + 4 * i), Texel{} + p.x_weights[i][x], row);
    value = j == 0 ? row * p.y_weights[0][x] : fused_texel(row, Texel{} + p.y_weights[j][x], value);
  }
  return value;
}

// From the sampled I1 (in rho_c) and gradient to rho_c and |g|^2; the data term goes off outside the bounds.
inline void linearise_row(const Grid& g, const WarpPlanes& p, const DataBounds& on, int y) {
  const std::ptrdiff_t at = y * g.stride;
  for (int x = 0; x < g.width; x += kLanes) {
    const std::ptrdiff_t i = at + x;
    const Vec u = load(p.u + i);
    const Vec v = load(p.v + i);
    const Vec px = (iota() + static_cast<float>(x)) + u;
    const Vec py = v + static_cast<float>(y);
    const VecInt inside =
        (px >= on.x_min) & (px <= on.x_max) & (py >= on.y_min) & (py <= on.y_max) & (first_lanes(g.width - x) > 0.0f);
    const Vec gx = inside ? load(p.gx + i) : Vec{};
    const Vec gy = inside ? load(p.gy + i) : Vec{};
    const Vec rho_c = load(p.rho_c + i) - gx * u - gy * v - load(p.frame0 + i);
    store(p.gx + i, gx);
    store(p.gy + i, gy);
    store(p.rho_c + i, inside ? rho_c : Vec{});
    store(p.square + i, gx * gx + gy * gy);
  }
}

static void warp(const Grid& g, const WarpSource& source, const WarpPlanes& p, const DataBounds& on, float cubic) {
  for (int y = 0; y < g.height; ++y) {
    locate_row(g, p, source.stride, cubic, y);
    const std::ptrdiff_t at = y * g.stride;
    for (int x = 0; x < g.width; ++x) {
      const Texel value = sample(source, p, x);
      p.rho_c[at + x] = value[0];
      p.gx[at + x] = value[1];
      p.gy[at + x] = value[2];
    }
    linearise_row(g, p, on, y);
  }
}

FLOWKIT_HD int clamp_index(int i, int n) { return i < 0 ? 0 : (i < n ? i : n - 1); }

// The rows y - 2 .. y + 2 of an image, clamped to it.
struct FiveRows {
  const float* row[5];
};

// The image and its derivatives at x, whose neighbours have the given indices.
FLOWKIT_HD Texel texel_at(const FiveRows& r, int x, const int (&i)[5], bool five_point) {
  Texel t = {r.row[2][x], r.row[2][i[3]] - r.row[2][i[1]], r.row[3][x] - r.row[1][x], 0.0f};
  if (!five_point) return t * Texel{1.0f, 0.5f, 0.5f, 0.0f};
  const Texel far = {0.0f, r.row[2][i[4]] - r.row[2][i[0]], r.row[4][x] - r.row[0][x], 0.0f};
  return t * Texel{1.0f, 8.0f / 12.0f, 8.0f / 12.0f, 0.0f} - far * (1.0f / 12.0f);
}

template <bool five_point>
inline void texel_row(const Grid& g, const FiveRows& rows, float* out) {
  const auto put = [&](int x, const int (&i)[5]) __attribute__((always_inline)) {
    const Texel t = texel_at(rows, x, i, five_point);
    __builtin_memcpy(out + 4 * x, &t, sizeof t);
  };
  const auto clamped = [&](int x) { return clamp_index(x, g.width); };
  const auto edge = [&](int x) { put(x, {clamped(x - 2), clamped(x - 1), x, clamped(x + 1), clamped(x + 2)}); };
  const int inner_end = g.width - 2;
  for (int x = 0; x < 2; ++x) edge(x);
  for (int x = 2; x < inner_end; ++x) put(x, {x - 2, x - 1, x, x + 1, x + 2});
  for (int x = inner_end > 2 ? inner_end : 2; x < g.width; ++x) edge(x);
}

// The border of one finished row of texels.
inline void frame_row(const Grid& g, float* out, bool zero_border) {
  for (int k = 1; k <= WarpSource::kFrame; ++k)
    for (int channel = 0; channel < 4; ++channel) {
      out[-4 * k + channel] = zero_border ? 0.0f : out[channel];
      out[4 * (g.width - 1 + k) + channel] = zero_border ? 0.0f : out[4 * (g.width - 1) + channel];
    }
}

static void prepare_warp(const Grid& g, const float* image, float* texels, std::ptrdiff_t texel_stride, bool five_point,
                         bool zero_border) {
  constexpr int frame = WarpSource::kFrame;
  const std::ptrdiff_t row_floats = 4 * texel_stride;
  float* first = texels + frame * row_floats + 4 * frame;
  for (int y = 0; y < g.height; ++y) {
    FiveRows rows;
    for (int k = 0; k < 5; ++k) rows.row[k] = image + clamp_index(y + k - 2, g.height) * g.stride;
    if (five_point)
      texel_row<true>(g, rows, first + y * row_floats);
    else
      texel_row<false>(g, rows, first + y * row_floats);
    frame_row(g, first + y * row_floats, zero_border);
  }
  const std::size_t row_bytes = sizeof(float) * row_floats;
  for (int k = 1; k <= frame; ++k) {
    float* above = first - 4 * frame - k * row_floats;
    float* below = first - 4 * frame + (g.height - 1 + k) * row_floats;
    if (zero_border) {
      __builtin_memset(above, 0, row_bytes);
      __builtin_memset(below, 0, row_bytes);
    } else {
      __builtin_memcpy(above, first - 4 * frame, row_bytes);
      __builtin_memcpy(below, first - 4 * frame + (g.height - 1) * row_floats, row_bytes);
    }
  }
}

}  // namespace flowkit::FLOWKIT_SIMD
