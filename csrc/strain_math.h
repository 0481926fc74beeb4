// The infinitesimal strain at one pixel of a flow, for host and device. docs/algorithm.md, "Strain".
#pragma once

#include "view.h"

#if !defined(__CUDACC__)
#include <math.h>
#endif

namespace flowkit {

// One flow (2, h, w), contiguous: u at data, v at data + h * w.
struct FlowView {
  const float* data;
  int width;
  int height;
};

struct Strain {
  float exx, eyy, exy;
};

// Where the neighbours of a pixel along one axis are, in memory, and the weight of their difference: central, or
// one-sided at the border.
struct Axis {
  std::ptrdiff_t before, after;
  float weight;
};

FLOWKIT_HD Axis axis_at(int i, int n, std::ptrdiff_t step) {
  const bool inner = i > 0 && i < n - 1;
  return {i > 0 ? -step : 0, i < n - 1 ? step : 0, inner ? 0.5f : 1.0f};
}

FLOWKIT_HD float difference(const float* at, const Axis& axis) {
  return (at[axis.after] - at[axis.before]) * axis.weight;
}

FLOWKIT_HD Strain strain_at(const float* u, const float* v, const Axis& x, const Axis& y) {
  return {difference(u, x), difference(v, y), 0.5f * (difference(u, y) + difference(v, x))};
}

FLOWKIT_HD Strain strain_at(const FlowView& flow, int x, int y) {
  const float* u = flow.data + static_cast<std::ptrdiff_t>(y) * flow.width + x;
  const float* v = u + static_cast<std::ptrdiff_t>(flow.width) * flow.height;
  return strain_at(u, v, axis_at(x, flow.width, 1), axis_at(y, flow.height, flow.width));
}

FLOWKIT_HD float magnitude(const Strain& e) { return sqrtf(e.exx * e.exx + e.eyy * e.eyy + 2.0f * e.exy * e.exy); }

}  // namespace flowkit
