#include "affine.h"

#include <cstring>

#include "../affine_fit.h"

namespace flowkit {

namespace {

// The lanes of a row side by side, for the compiler to make vectors of.
typedef double Lanes __attribute__((vector_size(sizeof(double) * kMomentLanes)));
typedef float Pixels __attribute__((vector_size(sizeof(float) * kMomentLanes)));

// `count` pixels, and zeros in the other lanes, which add nothing.
Lanes lanes_of(const float* at, int count) {
  Pixels pixels = {};
  std::memcpy(&pixels, at, sizeof(float) * count);
  return __builtin_convertvector(pixels, Lanes);
}

RowMoments row_moments(const float* row, int width) {
  const double centre = 0.5 * (width - 1);
  static_assert(kMomentLanes == 8);
  const Lanes first = {0, 1, 2, 3, 4, 5, 6, 7};
  MomentSums<Lanes> lanes;
  int x = 0;
  for (; x + kMomentLanes <= width; x += kMomentLanes)
    lanes.add_pixel(lanes_of(row + x, kMomentLanes), first + (x - centre));
  if (x < width) lanes.add_pixel(lanes_of(row + x, width - x), first + (x - centre));
  RowMoments sums;
  for (int k = 0; k < kMomentLanes; ++k) sums.add({lanes.sum[k], lanes.squares[k], lanes.along[k]});
  return sums;
}

Moments moments(Grid g, const float* plane) {
  const double centre = 0.5 * (g.height - 1);
  Moments total;
  for (int y = 0; y < g.height; ++y) total.add(row_moments(plane + y * g.stride, g.width), y - centre);
  return total;
}

}  // namespace

AffineGradient fit_affine(Grid g, const float* u, const float* v) {
  return affine_gradient(g.width, g.height, moments(g, u), moments(g, v));
}

}  // namespace flowkit
