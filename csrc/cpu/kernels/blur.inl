// Convolution of rows and columns with a symmetric kernel: the Gaussians.
//
// Of a wide kernel most of the time would go into loads, so that a few outputs are summed together. In a row the taps
// of a vector's pixels lie askew to the vectors: as many rows as a vector has lanes are turned into columns first, and
// back afterwards.

#include "../../blur_math.h"

namespace flowkit::FLOWKIT_SIMD {

// kLanes rows, turned: vector x, at columns + x * kLanes, is pixel x of all of them. Beside them is room for the
// kernel.
struct TurnedRows {
  float* columns;
  int width, radius;

  TurnedRows(float* scratch, int width, int radius)
      : columns(scratch + radius * kLanes), width(width), radius(radius) {}

  // Pixels x .. x + kLanes - 1 of each row; block[i] is row i.
  FLOWKIT_HD void put(int x, Vec (&block)[kLanes]) const {
    turn(block);
    for (int i = 0; i < kLanes; ++i) store(columns + (x + i) * kLanes, block[i]);
  }
  // After all of them: the border, replicated.
  FLOWKIT_HD void close() const {
    const Vec first = load(columns), last = load(columns + (width - 1) * kLanes);
    for (int x = 1; x <= radius; ++x) store(columns - x * kLanes, first);
    for (int x = width; x < width + radius + kLanes; ++x) store(columns + x * kLanes, last);
  }
  // The same pixels, blurred.
  FLOWKIT_HD void get(int x, const float* weight, Vec (&block)[kLanes]) const {
    for (int i = 0; i < kLanes; i += kSumsAtOnce) {
      const float* centre = columns + (x + i) * kLanes;
      const auto at = [&](int k) __attribute__((always_inline)) { return load(centre + k * kLanes); };
      symmetric_sums<kSumsAtOnce>(weight, radius, at, block + i);
    }
    turn(block);
  }
};

static void blur(Grid g, const float* in, float* out, const float* weight, int radius, float* scratch, float* columns) {
  const TurnedRows rows(columns, g.width, radius);
  Vec block[kLanes];
  for (int y = 0; y < g.height; y += kLanes) {
    const int last = g.height - 1 - y;
    for (int x = 0; x < g.width; x += kLanes) {
      for (int i = 0; i < kLanes; ++i) block[i] = load(in + (y + (i < last ? i : last)) * g.stride + x);
      rows.put(x, block);
    }
    rows.close();
    for (int x = 0; x < g.width; x += kLanes) {
      rows.get(x, weight, block);
      for (int i = 0; i < kLanes && i <= last; ++i) store(scratch + (y + i) * g.stride + x, block[i]);
    }
  }
  for (int y = 0; y < g.height; y += kSumsAtOnce)
    for (int x = 0; x < g.width; x += kLanes) {
      const auto at = [&](int k) __attribute__((always_inline)) {
        return load(scratch + clamp_index(y + k, g.height) * g.stride + x);
      };
      symmetric_sums<kSumsAtOnce>(weight, radius, at, block);
      for (int i = 0; i < kSumsAtOnce && y + i < g.height; ++i) store(out + (y + i) * g.stride + x, block[i]);
    }
}

}  // namespace flowkit::FLOWKIT_SIMD
