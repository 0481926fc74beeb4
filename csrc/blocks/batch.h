// The memory of a batch of pairs on the device, and what is known of each pair there.
#pragma once

#include "../refit_math.h"
#include "../stop_test.h"
#include "team.h"

namespace flowkit {

// The geometry of a level's planes. Pixel (x, y) of a plane is plane[y * stride + x]; 32 bits do, and take fewer
// instructions than 64.
struct LevelGrid {
  int width, height, stride;
  std::int64_t wide_stride;  // the same, for the iteration: of 32 bits the compiler would keep products in registers
};

// One pair's progress. The device decides by it what a launch does with the pair; the host never reads it.
struct PairStatus {
  int active;       // 0: the rest of this warp's launches leave the pair alone
  int current;      // which of the two states holds the pair's flow and duals
  int repeat;       // iterations that the next launch repeats, because the stop fell inside the last one; or 0
  int from_median;  // whether the launch to repeat took u and v from the median's planes
  int iterations;   // that ran so far
  StopProgress progress;
  AffineGradient affine;
  float darkest, brightest;  // of both frames
  RefitImage refit;          // of the step at hand
};

// The primal and dual variables, in the order of their planes.
enum Variable { kU, kV, kPuX, kPuY, kPvX, kPvY, kVariables };

// A batch's memory: for each pair `plane_stride` floats a plane, large enough for any level and used in the geometry of
// the level at hand. Rows begin at multiples of four floats; what lies between a row's end and the next row is never
// read for its value.
struct Batch {
  float* planes;
  PairStatus* status;
  double* errors;                 // of the tiled iteration: a pair's sums of squared changes, [iteration][tile]
  double* moments;                // a pair's RowMoments, [component][member][row]
  int pair_floats, plane_floats;  // from one pair, or plane, to the next
  std::ptrdiff_t pair_errors, pair_moments;

  static constexpr int kStates = 0, kMedians = 2 * kVariables, kData = kMedians + 2, kDerivatives = kData + 5,
                       kFrames = kDerivatives + 2;

  FLOWKIT_HD float* pair_planes(int pair) const { return planes + static_cast<std::int64_t>(pair) * pair_floats; }
  FLOWKIT_HD float* plane(int pair, int index) const { return pair_planes(pair) + index * plane_floats; }
  // A pair's state 0 or 1.
  FLOWKIT_HD float* variable(int pair, int state, int which) const {
    return plane(pair, kStates + state * kVariables + which);
  }
  FLOWKIT_HD float* current(int pair, int which) const { return variable(pair, status[pair].current, which); }
  FLOWKIT_HD float* next(int pair, int which) const { return variable(pair, 1 - status[pair].current, which); }
  FLOWKIT_HD float* median(int pair, int component) const { return plane(pair, kMedians + component); }
  // The members of Linearised and the inverse of its square, or those of PatchStep.
  FLOWKIT_HD float* data(int pair, int k) const { return plane(pair, kData + k); }
  FLOWKIT_HD float* derivative(int pair, int axis) const { return plane(pair, kDerivatives + axis); }
};

// Where a level's frames are: behind the other planes of each pair.
struct LevelFrames {
  int first[2];
};

FLOWKIT_HD float* level_frame(const Batch& b, const LevelFrames& frames, int pair, int which) {
  return b.pair_planes(pair) + frames.first[which];
}

// Planes of each pair, floats from its first one: they lie a step apart, and `of_state` further if state 1 is current.
struct Planes {
  int first, step, of_state;

  static Planes of(const LevelFrames& frames) { return {frames.first[0], frames.first[1] - frames.first[0], 0}; }
  static Planes data(const Batch& b, int k) { return {(Batch::kData + k) * b.plane_floats, b.plane_floats, 0}; }
  static Planes current(const Batch& b, int which) {
    return {(Batch::kStates + which) * b.plane_floats, b.plane_floats, kVariables * b.plane_floats};
  }
  static Planes next(const Batch& b, int which) {
    return {(Batch::kStates + kVariables + which) * b.plane_floats, b.plane_floats, -kVariables * b.plane_floats};
  }
};

FLOWKIT_HD float* plane_of(const Batch& b, const Planes& planes, int pair, int item) {
  return b.pair_planes(pair) + (planes.first + item * planes.step + b.status[pair].current * planes.of_state);
}

constexpr LevelGrid device_grid(Size size) {
  const int stride = (size.width + 3) / 4 * 4;
  return {size.width, size.height, stride, stride};
}

// Runs the body for every pixel of each of `items` images a pair; it gets (pair, item, x, y). Teams take tile after
// tile, so that any number of them does, and a thread takes every kMostThreads-th pixel of a tile, since to find out
// where a tile lies takes as long as many a body.
template <class Body>
struct EachPixel : Program {
  static constexpr int kTile = 4 * kMostThreads;
  int pixels;
  std::int64_t all_tiles;
  Divisor width, tiles, items;
  Body body;

  EachPixel(Size size, int pairs, int items, const Body& body)
      : pixels(size.width * size.height),
        all_tiles(std::int64_t{pairs} * items * divide_up(pixels, kTile)),
        width(size.width),
        tiles(divide_up(pixels, kTile)),
        items(items),
        body(body) {}

  template <class Team>
  FLOWKIT_DEVICE void operator()(Team& team) const {
    team.for_each([&](int, int thread) {
      for (int at = team.index(), end = static_cast<int>(all_tiles); at < end; at += team.teams()) {
        int tile = at;
        int item = tiles.divide(tile);
        const int pair = items.divide(item), first = tile * kTile, behind = first + kTile;
        FLOWKIT_NO_UNROLL
        for (int pixel = first + thread; pixel < behind && pixel < pixels; pixel += kMostThreads) {
          int x = pixel;
          const int y = width.divide(x);
          body(pair, item, x, y);
        }
      }
    });
  }
};

}  // namespace flowkit
