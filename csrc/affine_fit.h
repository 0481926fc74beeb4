// The affine flow that fits best in the least squares, for host and device. docs/algorithm.md, "One level".
//
// Sums are taken in one fixed order, in double precision: kMomentLanes partial sums along each row, one after the other
// into the row's, rows from top to bottom. So a solver may share the rows out in any way and still get the same bits.
#pragma once

#include "tvl1_math.h"

namespace flowkit {

constexpr int kMomentLanes = 8;  // partial sums of a row: pixel x is in lane x % kMomentLanes

// Sums over a row of f, f^2 and f (x - centre), or over one of its lanes; T is double, or a vector of the lanes' sums.
template <class T>
struct MomentSums {
  T sum = {}, squares = {}, along = {};

  FLOWKIT_HD void add_pixel(T f, T from_centre) {
    sum += f;
    squares += f * f;
    along += f * from_centre;
  }
  FLOWKIT_HD void add(const MomentSums& lane) {
    sum += lane.sum;
    squares += lane.squares;
    along += lane.along;
  }
};
using RowMoments = MomentSums<double>;

// Sums over a plane of f, f^2, f (x - centre) and f (y - centre).
struct Moments {
  double sum = 0.0, squares = 0.0, x = 0.0, y = 0.0;

  FLOWKIT_HD void add(const RowMoments& row, double from_centre) {
    sum += row.sum;
    squares += row.squares;
    x += row.along;
    y += row.sum * from_centre;
  }
};

// The sum of squared distances of 0 .. n - 1 from their mean.
FLOWKIT_HD double spread(int n) { return (static_cast<double>(n) * n - 1.0) * n / 12.0; }

// The gradient of the affine fit to u and v, as far as the fit explains them.
FLOWKIT_HD AffineGradient affine_gradient(int width, int height, const Moments& mu, const Moments& mv) {
  const double area = static_cast<double>(width) * height;
  const double along_x = height * spread(width), along_y = width * spread(height);
  const double variance = (mu.squares - mu.sum * mu.sum / area) + (mv.squares - mv.sum * mv.sum / area);
  const double explained = (mu.x * mu.x + mv.x * mv.x) / along_x + (mu.y * mu.y + mv.y * mv.y) / along_y;
  if (!(variance > 0.0)) return {0.0f, 0.0f, 0.0f, 0.0f};
  const double trust = (explained / variance - 0.8) / 0.1;
  const double weight = trust < 0.0 ? 0.0 : (trust < 1.0 ? trust : 1.0);
  return {static_cast<float>(weight * mu.x / along_x), static_cast<float>(weight * mu.y / along_y),
          static_cast<float>(weight * mv.x / along_x), static_cast<float>(weight * mv.y / along_y)};
}

}  // namespace flowkit
