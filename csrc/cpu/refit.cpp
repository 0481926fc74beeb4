#include "refit.h"

#include "../affine_fit.h"

namespace flowkit {

double mean_significance(Grid g, const float* significance) {
  double total = 0.0;
  for (int y = 0; y < g.height; ++y) {
    const float* row = significance + y * g.stride;
    double lanes[kMomentLanes] = {};
    for (int x = 0; x < g.width; ++x) lanes[x % kMomentLanes] += minimum(row[x], kSignificanceCap);
    double sum = 0.0;
    for (const double lane : lanes) sum += lane;
    total += sum;
  }
  return total / (static_cast<double>(g.width) * g.height);
}

void weigh_steps(Grid g, float* step, const float* significance, float scale, const RefitConstants& constants) {
  for (int y = 0; y < g.height; ++y) {
    const std::ptrdiff_t at = y * g.stride;
    for (int x = 0; x < g.width; ++x) step[at + x] *= refit_share(significance[at + x], scale, constants);
  }
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
