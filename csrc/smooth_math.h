// What smooths the flow and leaves its edges, at one pixel, for host and device. docs/algorithm.md, "Smoothing the
// flow".
//
// What departs from the Gaussian mean around it is lost, but for what is as large as an edge: one step of robust
// diffusion with a Lorentzian norm (M. Black, G. Sapiro, D. Marimont, D. Heeger, Robust Anisotropic Diffusion, IEEE
// TIP 7, 1998).
#pragma once

#include "float_math.h"

namespace flowkit {

struct FlowVector {
  float u, v;
};

// From the flow and its mean; `inverse_square` is 1 / edge^2, of the edge of which half is lost.
FLOWKIT_HD FlowVector edges_kept(FlowVector flow, FlowVector mean, float inverse_square) {
  const float u = flow.u - mean.u, v = flow.v - mean.v;
  const float lost = 1.0f / (1.0f + (u * u + v * v) * inverse_square);
  return {flow.u - lost * u, flow.v - lost * v};
}

}  // namespace flowkit
