// Programs at the start of a warp: derivatives of I1, bicubic sampling at (x + u, y + v), linearisation, patches.
// docs/algorithm.md, "One level"; the arithmetic is that of warp_math.h and patch_math.h.
#pragma once

#include "../patch_math.h"
#include "../warp_math.h"
#include "frames.h"

namespace flowkit {

// d/dx (item 0) or d/dy (item 1) of I1, or of what it is without the mean in a data plane, with the nearest pixel
// outside the image.
struct Differentiate {
  Batch batch;
  LevelGrid grid;
  LevelFrames frames;
  bool five_point;
  int mean;  // the data plane; -1 for none

  FLOWKIT_DEVICE void operator()(int pair, int item, int x, int y) const {
    const float* image = level_frame(batch, frames, pair, 1);
    const float* less = mean < 0 ? nullptr : batch.data(pair, mean);
    const auto at = [&](int k) {
      const int i = item == 0 ? y * grid.stride + clamp_index(x + k, grid.width)
                              : clamp_index(y + k, grid.height) * grid.stride + x;
      return less ? image[i] - less[i] : image[i];
    };
    batch.derivative(pair, item)[y * grid.stride + x] = derivative<float>(at, five_point);
  }
};

// The 4 x 4 taps around a sample point.
struct PointTaps {
  int left, top;  // of the pixel at or left of (above) the point
  CubicWeights<float> x, y;

  FLOWKIT_DEVICE explicit PointTaps(const SamplePoint<float>& at)
      : left(static_cast<int>(at.left)), top(static_cast<int>(at.top)), x(at.x), y(at.y) {}

  // Whether all of them are in the image.
  FLOWKIT_DEVICE bool inner(const LevelGrid& g) const {
    return left >= 1 && left + 2 < g.width && top >= 1 && top + 2 < g.height;
  }
};

FLOWKIT_DEVICE float sample_inner(const float* plane, const LevelGrid& g, const PointTaps& s) {
  const float* first = plane + (s.top - 1) * g.stride + s.left - 1;
  return sum_taps(s.x.w, s.y.w, [&](int j) {
    const int at = j * g.stride;
    return TapRow<float, 4>{{first[at], first[at + 1], first[at + 2], first[at + 3]}};
  });
}

// Outside the image: 0, or the nearest pixel.
FLOWKIT_DEVICE float sample_anywhere(const float* plane, const LevelGrid& g, const PointTaps& s, bool zero_border) {
  return sum_taps(s.x.w, s.y.w, [&](int j) {
    const int y = s.top - 1 + j;
    TapRow<float, 4> row;
    FLOWKIT_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int x = s.left - 1 + i;
      const bool outside = x < 0 || x >= g.width || y < 0 || y >= g.height;
      row.at[i] = zero_border && outside ? 0.0f : plane[clamp_index(y, g.height) * g.stride + clamp_index(x, g.width)];
    }
    return row;
  });
}

// I1 linearised around the current flow, into data planes 0 to 3, and 1 / square into plane 4, or 0 in its place.
struct Linearise {
  Batch batch;
  LevelGrid grid;
  LevelFrames frames;
  DataBounds on;
  float cubic, gradient_floor;
  bool zero_border;

  FLOWKIT_DEVICE void operator()(int pair, int, int x, int y) const {
    const int i = y * grid.stride + x;
    const float u = batch.current(pair, kU)[i], v = batch.current(pair, kV)[i];
    const float px = static_cast<float>(x) + u, py = v + static_cast<float>(y);
    const PointTaps at(sample_point(px, py, grid.width, grid.height, cubic));
    const float* planes[3] = {level_frame(batch, frames, pair, 1), batch.derivative(pair, 0),
                              batch.derivative(pair, 1)};
    float sampled[3];
    if (at.inner(grid)) {
      FLOWKIT_UNROLL
      for (int k = 0; k < 3; ++k) sampled[k] = sample_inner(planes[k], grid, at);
    } else {
      FLOWKIT_UNROLL
      for (int k = 0; k < 3; ++k) sampled[k] = sample_anywhere(planes[k], grid, at, zero_border);
    }
    const float frame0 = level_frame(batch, frames, pair, 0)[i];
    const Linearised<float> image =
        linearised<float>({sampled[0], sampled[1], sampled[2]}, frame0, u, v, is_on(on, px, py));
    const float constants[5] = {image.gx, image.gy, image.rho_c, image.square,
                                inverse_of_square(image.square, gradient_floor)};
    FLOWKIT_UNROLL
    for (int k = 0; k < 5; ++k) batch.data(pair, k)[i] = constants[k];
  }
};

using Products = PatchProducts<float>;

// Products of many pixels, the first four side by side and the other two, so that two instructions read them.
struct ProductArrays {
  Float4* first;
  Float2* rest;

  FLOWKIT_DEVICE Products load(int i) const {
    const Float4 four = first[i];
    const Float2 two = rest[i];
    return {{four.at[0], four.at[1], four.at[2], four.at[3], two.at[0], two.at[1]}};
  }
  FLOWKIT_DEVICE void store(int i, const Products& p) const {
    first[i] = {{p.at[0], p.at[1], p.at[2], p.at[3]}};
    rest[i] = {{p.at[4], p.at[5]}};
  }
};

// The planes of a pair's other state as scratch.
FLOWKIT_DEVICE ProductArrays scratch_products(const Batch& batch, int pair) {
  static_assert(static_cast<int>(kVariables) == kProducts);
  return {reinterpret_cast<Float4*>(batch.next(pair, 0)), reinterpret_cast<Float2*>(batch.next(pair, 4))};
}

// What a patch's data term averages (patch_math.h).
struct DataProducts {
  FLOWKIT_DEVICE static Products at(const Batch& batch, const LevelGrid& grid, int pair, int x, int y) {
    const int i = y * grid.stride + x;
    return patch_products(batch.data(pair, 0)[i], batch.data(pair, 1)[i], batch.data(pair, 2)[i],
                          batch.current(pair, kU)[i], batch.current(pair, kV)[i]);
  }
};

// Products of gradients and residuals, blurred along x, into the pair's scratch. A team has a piece of a row; its
// shared memory holds the products there and `radius` pixels on both sides.
template <class Source>
struct BlurProducts : Program {
  static constexpr int kMostThreads = 128;
  Batch batch;
  LevelGrid grid;
  GaussianTaps taps;

  BlurProducts(const Batch& batch, LevelGrid grid, const GaussianTaps& taps) : batch(batch), grid(grid), taps(taps) {}
  int threads() const { return kMostThreads; }
  FLOWKIT_HD int span() const { return kMostThreads + 2 * taps.radius; }
  FLOWKIT_HD int pieces() const { return (grid.width + kMostThreads - 1) / kMostThreads; }
  std::size_t shared_bytes() const { return sizeof(Products) * span(); }
  std::int64_t teams(int pairs) const { return static_cast<std::int64_t>(pairs) * grid.height * pieces(); }

  FLOWKIT_DEVICE Products products_at(int pair, int x, int y) const {
    return Source::at(batch, grid, pair, clamp_index(x, grid.width), y);
  }

  template <class Team>
  FLOWKIT_DEVICE ProductArrays row(Team& team, int rank) const {
    Float4* first = team.template shared<Float4>(rank);
    return {first, reinterpret_cast<Float2*>(first + span())};
  }

  template <class Team>
  FLOWKIT_DEVICE void operator()(Team& team) const {
    const int piece = team.index() % pieces(), line = team.index() / pieces();
    const int y = line % grid.height, pair = line / grid.height, first = piece * kMostThreads;
    team.for_each([&](int rank, int thread) {
      for (int i = thread; i < span(); i += kMostThreads)
        row(team, rank).store(i, products_at(pair, first + i - taps.radius, y));
    });
    team.for_each([&](int rank, int thread) {
      const int x = first + thread, centre = taps.radius + thread;
      if (x >= grid.width) return;
      const ProductArrays products = row(team, rank);
      const Products blurred =
          symmetric_sum<Products>(taps.weight, taps.radius, [&](int j) { return products.load(centre + j); });
      scratch_products(batch, pair).store(y * grid.stride + x, blurred);
    });
  }
};

// The products blurred along y, and the linear step of the patch that they give, into data planes 0 to 4.
// The norm is known to the compiler, or some architectures are short of registers.
template <bool cauchy>
struct AveragePatches {
  Batch batch;
  LevelGrid grid;
  float data_limit, inverse_scale;
  GaussianTaps taps;

  FLOWKIT_DEVICE void operator()(int pair, int, int x, int y) const {
    const ResidualLimit limit = {inverse_scale, cauchy ? ResidualNorm::cauchy : ResidualNorm::charbonnier};
    const ProductArrays products = scratch_products(batch, pair);
    const auto at = [&](int j) { return products.load(clamp_index(y + j, grid.height) * grid.stride + x); };
    const PatchStep<float> step = patch_step(symmetric_sum<Products>(taps.weight, taps.radius, at), limit, data_limit);
    const float planes[5] = {step.a11, step.a12, step.a22, step.k1, step.k2};
    for (int k = 0; k < 5; ++k) batch.data(pair, k)[y * grid.stride + x] = planes[k];
  }
};

}  // namespace flowkit
