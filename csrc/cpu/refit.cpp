#include "refit.h"

#include "../affine_fit.h"

namespace flowkit {

double mean_below(Grid g, const float* plane, float most) {
  double total = 0.0;
  for (int y = 0; y < g.height; ++y) {
    const float* row = plane + y * g.stride;
    double lanes[kMomentLanes] = {};
    int x = 0;
    for (; x + kMomentLanes <= g.width; x += kMomentLanes)
      for (int k = 0; k < kMomentLanes; ++k) lanes[k] += minimum(row[x + k], most);
    for (; x < g.width; ++x) lanes[x % kMomentLanes] += minimum(row[x], most);
    double sum = 0.0;
    for (const double lane : lanes) sum += lane;
    total += sum;
  }
  return total / (static_cast<double>(g.width) * g.height);
}

void add_plane(Grid g, float* plane, const float* change) {
  for (int y = 0; y < g.height; ++y) {
    const std::ptrdiff_t at = y * g.stride;
    for (int x = 0; x < g.width; ++x) plane[at + x] += change[at + x];
  }
}

void subtract_plane(Grid g, float* plane, const float* mean) {
  for (int y = 0; y < g.height; ++y) {
    const std::ptrdiff_t at = y * g.stride;
    for (int x = 0; x < g.width; ++x) plane[at + x] -= mean[at + x];
  }
}

}  // namespace flowkit
