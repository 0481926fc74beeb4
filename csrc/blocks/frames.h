// Programs of the image pyramid: frames in, grey values of every level out.
#pragma once

#include "../blur_math.h"
#include "../resample.h"
#include "batch.h"
#include "batch_arguments.h"

#if !defined(__CUDACC__)
#include <math.h>
#include <string.h>
#endif

namespace flowkit {

// Bytewise, since strides may leave a pixel unaligned.
template <class T>
FLOWKIT_DEVICE float read_pixel(const char* at) {
  T value;
  memcpy(&value, at, sizeof value);
  return static_cast<float>(value);
}

FLOWKIT_DEVICE float pixel_at(const FrameBatch& frames, int pair, int x, int y) {
  const char* at = frames.data + pair * frames.pair_bytes + y * frames.row_bytes + x * frames.column_bytes;
  switch (frames.pixel) {
    case Pixel::u8: return read_pixel<std::uint8_t>(at);
    case Pixel::u16: return read_pixel<std::uint16_t>(at);
    default: return read_pixel<float>(at);
  }
}

// Both frames to grey values on 0..255; item = frame.
struct Convert {
  Batch batch;
  LevelGrid grid;
  LevelFrames to;
  FrameBatch frames[2];
  ValueRange range;

  FLOWKIT_DEVICE void operator()(int pair, int item, int x, int y) const {
    const float value = pixel_at(frames[item], pair, x, y);
    level_frame(batch, to, pair, item)[y * grid.stride + x] = grey(value, range);
  }
};

// The darkest and the brightest pixel of both frames, one team a pair.
struct FindExtremes : Program {
  Batch batch;
  LevelGrid grid;
  LevelFrames frames;

  struct Extremes {
    float low, high;
    FLOWKIT_DEVICE void add(const Extremes& other) {
      low = fminf(low, other.low);
      high = fmaxf(high, other.high);
    }
  };

  FindExtremes(const Batch& batch, LevelGrid grid, const LevelFrames& frames)
      : batch(batch), grid(grid), frames(frames) {}
  std::size_t shared_bytes() const { return kMostThreads * sizeof(Extremes); }

  FLOWKIT_DEVICE Extremes of_thread(int pair, int thread) const {
    const float first = level_frame(batch, frames, pair, 0)[0];
    Extremes found = {first, first};
    for (int which = 0; which < 2; ++which) {
      const float* frame = level_frame(batch, frames, pair, which);
      for (int pixel = thread; pixel < grid.width * grid.height; pixel += kMostThreads) {
        const float value = frame[pixel / grid.width * grid.stride + pixel % grid.width];
        found.add({value, value});
      }
    }
    return found;
  }

  template <class Team>
  FLOWKIT_DEVICE void operator()(Team& team) const {
    const int pair = team.index();
    team.for_each(
        [&](int rank, int thread) { team.template shared<Extremes>(rank)[thread] = of_thread(pair, thread); });
    for (int half = kMostThreads / 2; half > 0; half /= 2)
      team.for_each([&](int rank, int thread) {
        Extremes* found = team.template shared<Extremes>(rank);
        if (thread < half) found[thread].add(found[thread + half]);
      });
    team.for_each([&](int rank, int thread) {
      if (thread != 0) return;
      const Extremes* found = team.template shared<Extremes>(rank);
      batch.status[pair].darkest = found->low;
      batch.status[pair].brightest = found->high;
    });
  }
};

// Both frames to 0..255 by their joint extremes; item = frame.
struct Stretch {
  Batch batch;
  LevelGrid grid;
  LevelFrames frames;

  FLOWKIT_DEVICE void operator()(int pair, int item, int x, int y) const {
    const float low = batch.status[pair].darkest, high = batch.status[pair].brightest;
    if (!(high > low)) return;
    float* at = level_frame(batch, frames, pair, item) + y * grid.stride + x;
    *at = stretched(*at, low, high);
  }
};

// A symmetric kernel weight[0..radius], by value, so that no launch waits for a copy.
struct GaussianTaps {
  static constexpr int kMostRadius = 800;
  int radius;
  float weight[kMostRadius + 1];
};

// How many pixels a thread convolves together: of the programs for four or eight, compilers spill a register or two.
constexpr int kBlurredAtOnce = 6;

// Those pixels, neighbours along the axis; the plane's border is replicated.
template <bool along_x>
struct BlurGroup {
  const LevelGrid& grid;
  int x, y;  // of the first one

  FLOWKIT_DEVICE BlurGroup(const LevelGrid& grid, int column, int row)
      : grid(grid), x(along_x ? kBlurredAtOnce * column : column), y(along_x ? row : kBlurredAtOnce * row) {}

  FLOWKIT_DEVICE void convolve(const float* plane, const GaussianTaps& taps, float (&sums)[kBlurredAtOnce]) const {
    const auto at = [&](int k) {
      return along_x ? plane[y * grid.stride + clamp_index(x + k, grid.width)]
                     : plane[clamp_index(y + k, grid.height) * grid.stride + x];
    };
    symmetric_sums<kBlurredAtOnce>(taps.weight, taps.radius, at, sums);
  }

  // Calls body(i, x, y) for pixels that are inside.
  template <class Body>
  FLOWKIT_DEVICE void each(const Body& body) const {
    FLOWKIT_UNROLL
    for (int i = 0; i < kBlurredAtOnce; ++i)
      if (along_x ? x + i < grid.width : y + i < grid.height) body(i, along_x ? x + i : x, along_x ? y : y + i);
  }
};

// How many groups there are; programs that convolve run once for each, in place of each pixel.
template <bool along_x>
constexpr Size blur_groups(Size size) {
  return along_x ? Size{divide_up(size.width, kBlurredAtOnce), size.height}
                 : Size{size.width, divide_up(size.height, kBlurredAtOnce)};
}

// Convolves planes along one axis; item = plane.
template <bool along_x>
struct Blur {
  LevelGrid grid;
  Batch batch;
  Planes in, out;
  GaussianTaps taps;

  FLOWKIT_DEVICE void operator()(int pair, int item, int column, int row) const {
    const BlurGroup<along_x> group(grid, column, row);
    float sums[kBlurredAtOnce];
    group.convolve(plane_of(batch, in, pair, item), taps, sums);
    float* const to = plane_of(batch, out, pair, item);
    group.each([&](int i, int x, int y) { to[y * grid.stride + x] = sums[i]; });
  }
};

// Takes from the frames what is left of them along y in the planes that Blur<true> has written; item = frame.
struct HighPass {
  LevelGrid grid;
  Batch batch;
  LevelFrames along_x, frames;
  GaussianTaps taps;

  FLOWKIT_DEVICE void operator()(int pair, int item, int column, int row) const {
    const BlurGroup<false> group(grid, column, row);
    float means[kBlurredAtOnce];
    group.convolve(level_frame(batch, along_x, pair, item), taps, means);
    float* const frame = level_frame(batch, frames, pair, item);
    group.each([&](int i, int x, int y) { frame[y * grid.stride + x] -= means[i]; });
  }
};

// How an axis pair is resampled: the step in source pixels a pixel, and where pixel 0 lies.
struct Resampling {
  LevelGrid from, to;
  double ratio_x, ratio_y;
  Alignment alignment;
  Interpolation interpolation;
};

// One output: rows first, then the column.
FLOWKIT_DEVICE float resampled(const float* in, const Resampling& r, double gain, int x, int y) {
  const Taps tx = taps_at(x, r.from.width, r.ratio_x, r.alignment, r.interpolation);
  const Taps ty = taps_at(y, r.from.height, r.ratio_y, r.alignment, r.interpolation);
  const bool linear = r.interpolation == Interpolation::linear;
  const auto row = [&](int j) {
    const float* pixels = in + ty.index[j] * r.from.stride;
    return resampled_along<float>(
        linear, [&](int i) { return pixels[tx.index[i]]; }, [&](int i) { return tx.weight[i]; });
  };
  return scaled(resampled_along<float>(linear, row, [&](int j) { return ty.weight[j]; }), gain);
}

// The frames of the next coarser level; item = frame.
struct Reduce {
  Batch batch;
  Resampling how;
  LevelFrames in, out;

  FLOWKIT_DEVICE void operator()(int pair, int item, int x, int y) const {
    level_frame(batch, out, pair, item)[y * how.to.stride + x] =
        resampled(level_frame(batch, in, pair, item), how, 1.0, x, y);
  }
};

}  // namespace flowkit
