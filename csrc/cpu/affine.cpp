#include "affine.h"

namespace flowkit {

namespace {

// Sums over a plane of f, f^2, f (x - centre) and f (y - centre), in a fixed order.
struct Moments {
  double sum = 0.0, squares = 0.0, x = 0.0, y = 0.0;
};

Moments moments(Grid g, const float* plane) {
  constexpr int kPartial = 8;  // independent partial sums, so that the compiler may make vectors of them
  const double centre_x = 0.5 * (g.width - 1), centre_y = 0.5 * (g.height - 1);
  Moments total;
  for (int y = 0; y < g.height; ++y) {
    const float* row = plane + y * g.stride;
    double sum[kPartial] = {}, squares[kPartial] = {}, along[kPartial] = {};
    const auto add = [&](int x, int k) {
      const double f = row[x];
      sum[k] += f;
      squares[k] += f * f;
      along[k] += f * (x - centre_x);
    };
    int x = 0;
    for (; x + kPartial <= g.width; x += kPartial)
      for (int k = 0; k < kPartial; ++k) add(x + k, k);
    for (int k = 0; x < g.width; ++x, ++k) add(x, k);
    double row_sum = 0.0;
    for (int k = 0; k < kPartial; ++k) {
      row_sum += sum[k];
      total.squares += squares[k];
      total.x += along[k];
    }
    total.sum += row_sum;
    total.y += row_sum * (y - centre_y);
  }
  return total;
}

// The sum of squared distances of 0 .. n - 1 from their mean.
double spread(int n) { return (static_cast<double>(n) * n - 1.0) * n / 12.0; }

}  // namespace

AffineGradient fit_affine(Grid g, const float* u, const float* v) {
  const Moments mu = moments(g, u), mv = moments(g, v);
  const double area = static_cast<double>(g.width) * g.height;
  const double along_x = g.height * spread(g.width), along_y = g.width * spread(g.height);
  const double variance = (mu.squares - mu.sum * mu.sum / area) + (mv.squares - mv.sum * mv.sum / area);
  const double explained = (mu.x * mu.x + mv.x * mv.x) / along_x + (mu.y * mu.y + mv.y * mv.y) / along_y;
  if (!(variance > 0.0)) return {0.0f, 0.0f, 0.0f, 0.0f};
  const double trust = (explained / variance - 0.8) / 0.1;
  const double weight = trust < 0.0 ? 0.0 : (trust < 1.0 ? trust : 1.0);
  const auto slope = [&](double moment, double along) { return static_cast<float>(weight * moment / along); };
  return {slope(mu.x, along_x), slope(mu.y, along_y), slope(mv.x, along_x), slope(mv.y, along_y)};
}

}  // namespace flowkit
