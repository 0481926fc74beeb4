// sqrt(x^2 + y^2), rounded once, as OpenCV's CPU version rounds it (docs/algorithm.md, "Rounding"): three ways, since
// machines differ in what they have most of. tests/csrc/test_blocks.py holds them against each other.
//
// Two of them do without double precision: the square and its rounding errors are known exactly (T. Dekker, A
// Floating-Point Technique for Extending the Available Precision, 1971), and a last Newton step from the root of the
// square brings the errors in. Fewer than one result in 10^7 would be the other neighbour of the exact value then,
// where that lies all but halfway between two floats: a CPU notices those, and takes the way in double; a GPU does not.
#pragma once

#include "float_math.h"

namespace flowkit {

// For machines without a fused multiply-add: the baseline's vectors.
template <class T>
FLOWKIT_HD T length_in_double(T x, T y) {
  const auto wide_x = widen(x), wide_y = widen(y);
  return narrow(root(wide_x * wide_x + wide_y * wide_y));
}

// The same, out of the way of what hardly ever needs it.
template <class T>
__attribute__((noinline, cold)) T length_all_but_halfway(T x, T y) {
  return length_in_double(x, y);
}

// For CPUs that have one, twice as fast: their roots and quotients are rounded correctly as they come.
template <class T>
FLOWKIT_HD T length_by_quotient(T x, T y) {
  const T xx = x * x, yy = y * y;
  const T square = xx + yy;
  const T error = ((maximum(xx, yy) - square) + minimum(xx, yy)) + (fused(x, x, -xx) + fused(y, y, -yy));
  const T r = root(square);
  const T step = (fused(-r, r, square) + error) / maximum(r + r, T{} + 1e-30f);
  // The step is good to 2^-21: where as much more and as much less of it round alike, so does the exact one.
  const T more = fused(step, T{} + (1.0f + 0x1p-20f), r), less = fused(step, T{} + (1.0f - 0x1p-20f), r);
  return __builtin_expect(equal(more, less), true) ? more : length_all_but_halfway(x, y);
}

// For GPUs, most of which have little double precision and no divider, but give half the inverse of the root on the way
// to it: the length, but at least 2^-50.
FLOWKIT_HD float length(float x, float y) {
  const float longer = maximum(fabsf(x), fabsf(y)), shorter = minimum(fabsf(x), fabsf(y));
  const float longer_square = longer * longer;
  const float square = fmaf(shorter, shorter, longer_square);
  const float error = fmaf(shorter, shorter, longer_square - square) + fmaf(longer, longer, -longer_square);
  const Root r = floored_root_of(square);
  return fmaf(fmaf(-r.value, r.value, square) + error, r.half_inverse, r.value);
}

}  // namespace flowkit
