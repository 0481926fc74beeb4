// The convolution with a symmetric kernel along one axis, for host and device: every Gaussian of docs/algorithm.md.
#pragma once

#include "view.h"

namespace flowkit {

// The sum of weight[k] times what is k before and k behind: at(0), at(-1), at(1) ... T is float, a SIMD vector of
// floats, or anything that can be added up and multiplied by a float.
template <class T, class At>
FLOWKIT_HD T symmetric_sum(const float* weight, int radius, const At& at) {
  T sum = weight[0] * at(0);
  for (int k = 1; k <= radius; ++k) sum += weight[k] * (at(-k) + at(k));
  return sum;
}

}  // namespace flowkit
