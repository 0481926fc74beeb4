// The affine flow that fits a flow best. docs/algorithm.md, "One level" (affine_reference).
#pragma once

#include "../tvl1_math.h"

namespace flowkit {

// The gradient of the least-squares fit of u and v by affine functions of x and y, weighted by how well it fits: 0
// where it explains up to 0.8 of the flow's variance, whole from 0.9 on. The same bits on every machine.
AffineGradient fit_affine(Grid g, const float* u, const float* v);

}  // namespace flowkit
