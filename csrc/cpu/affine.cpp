#include "affine.h"

#include "../affine_fit.h"

namespace flowkit {

namespace {

Moments moments(Grid g, const float* plane) {
  const double centre_x = 0.5 * (g.width - 1), centre_y = 0.5 * (g.height - 1);
  Moments total;
  for (int y = 0; y < g.height; ++y) {
    const float* row = plane + y * g.stride;
    // The lanes are independent, so that the compiler may make vectors of them.
    double sum[kMomentLanes] = {}, squares[kMomentLanes] = {}, along[kMomentLanes] = {};
    const auto add = [&](int x, int k) {
      const double f = row[x];
      sum[k] += f;
      squares[k] += f * f;
      along[k] += f * (x - centre_x);
    };
    int x = 0;
    for (; x + kMomentLanes <= g.width; x += kMomentLanes)
      for (int k = 0; k < kMomentLanes; ++k) add(x + k, k);
    for (int k = 0; x < g.width; ++x, ++k) add(x, k);
    RowMoments sums;
    for (int k = 0; k < kMomentLanes; ++k) sums.add({sum[k], squares[k], along[k]});
    total.add(sums, y - centre_y);
  }
  return total;
}

}  // namespace

AffineGradient fit_affine(Grid g, const float* u, const float* v) {
  return affine_gradient(g.width, g.height, moments(g, u), moments(g, v));
}

}  // namespace flowkit
