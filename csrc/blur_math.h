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

// The symmetric_sum around 0, 1 .. outputs - 1, with the same bits: neighbours share all of their taps but two, and
// at(k) is asked for once.
template <int outputs, class T, class At>
FLOWKIT_HD void symmetric_sums(const float* weight, int radius, const At& at, T* sums) {
  T before[outputs], behind[outputs];  // of each output, the taps k before it and k behind it
  FLOWKIT_UNROLL
  for (int i = 0; i < outputs; ++i) {
    before[i] = behind[i] = at(i);
    sums[i] = weight[0] * before[i];
  }
  FLOWKIT_NO_UNROLL
  for (int k = 1; k <= radius; ++k) {
    FLOWKIT_UNROLL
    for (int i = outputs - 1; i > 0; --i) before[i] = before[i - 1];
    FLOWKIT_UNROLL
    for (int i = 0; i + 1 < outputs; ++i) behind[i] = behind[i + 1];
    before[0] = at(-k);
    behind[outputs - 1] = at(outputs - 1 + k);
    FLOWKIT_UNROLL
    for (int i = 0; i < outputs; ++i) sums[i] += weight[k] * (before[i] + behind[i]);
  }
}

}  // namespace flowkit
