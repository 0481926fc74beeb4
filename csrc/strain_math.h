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

// Central difference along one axis, one-sided at the border. `step` is the distance of two neighbours in memory.
FLOWKIT_HD float difference(const float* at, int i, int n, std::ptrdiff_t step) {
  const std::ptrdiff_t before = i > 0 ? -step : 0;
  const std::ptrdiff_t after = i < n - 1 ? step : 0;
  const float span = (i > 0 && i < n - 1) ? 0.5f : 1.0f;
  return (at[after] - at[before]) * span;
}

FLOWKIT_HD Strain strain_at(const FlowView& flow, int x, int y) {
  const float* u = flow.data + static_cast<std::ptrdiff_t>(y) * flow.width + x;
  const float* v = u + static_cast<std::ptrdiff_t>(flow.width) * flow.height;
  const float shear = difference(u, y, flow.height, flow.width) + difference(v, x, flow.width, 1);
  return {difference(u, x, flow.width, 1), difference(v, y, flow.height, flow.width), 0.5f * shear};
}

FLOWKIT_HD float magnitude(const Strain& e) { return sqrtf(e.exx * e.exx + e.eyy * e.eyy + 2.0f * e.exy * e.exy); }

}  // namespace flowkit
