// One vector type a SIMD level. A kernel file defines FLOWKIT_LANES (4, 8 or 16) and FLOWKIT_SIMD (the level's
// namespace) under a target pragma, and includes this. No standard header may come after the pragma: its inline
// functions would be compiled for that level and could be linked into code that runs on every machine.
#pragma once

#include "../view.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <math.h>

namespace flowkit::FLOWKIT_SIMD {

constexpr int kLanes = FLOWKIT_LANES;

typedef float Vec __attribute__((vector_size(4 * FLOWKIT_LANES)));
typedef double VecDouble __attribute__((vector_size(8 * FLOWKIT_LANES)));
typedef int32_t VecInt __attribute__((vector_size(4 * FLOWKIT_LANES)));

FLOWKIT_HD Vec load(const float* at) {
  Vec value;
  __builtin_memcpy(&value, at, sizeof value);
  return value;
}

FLOWKIT_HD void store(float* at, Vec value) { __builtin_memcpy(at, &value, sizeof value); }

// The lane numbers 0, 1, 2 ...
FLOWKIT_HD Vec iota() {
  Vec value;
  for (int i = 0; i < kLanes; ++i) value[i] = static_cast<float>(i);
  return value;
}

// Lane i is lane from[i] of a followed by b, whose lanes are counted on from the first again behind the last. Clang has
// a built-in function for constant places only, and makes its instructions of the loop where they are.
FLOWKIT_HD Vec shuffled(Vec a, Vec b, VecInt from) {
#if defined(__clang__)
  Vec value;
  for (int i = 0; i < kLanes; ++i) {
    const int place = from[i] & (2 * kLanes - 1);
    value[i] = place < kLanes ? a[place] : b[place - kLanes];
  }
  return value;
#else
  return __builtin_shuffle(a, b, from);
#endif
}

// Lanes `first` .. of a and b in turn: a's, b's, a's next ...
FLOWKIT_HD Vec interleaved(Vec a, Vec b, int first) {
  VecInt from;
  for (int i = 0; i < kLanes; ++i) from[i] = first + i / 2 + (i % 2) * kLanes;
  return shuffled(a, b, from);
}

// Turns a square: lane j of vector i becomes lane i of vector j.
FLOWKIT_HD void turn(Vec (&square)[kLanes]) {
  constexpr int half = kLanes / 2;
  for (int step = 1; step < kLanes; step *= 2) {
    Vec next[kLanes];
    for (int i = 0; i < half; ++i) {
      next[2 * i] = interleaved(square[i], square[i + half], 0);
      next[2 * i + 1] = interleaved(square[i], square[i + half], half);
    }
    for (int i = 0; i < kLanes; ++i) square[i] = next[i];
  }
}

FLOWKIT_HD double sum(VecDouble value) {
  double total = 0.0;
  for (int i = 0; i < kLanes; ++i) total += value[i];
  return total;
}

}  // namespace flowkit::FLOWKIT_SIMD

// What the arithmetic headers ask of a vector type, beside their overloads for float.
namespace flowkit {

using FLOWKIT_SIMD::Vec;
using FLOWKIT_SIMD::VecDouble;
using FLOWKIT_SIMD::VecInt;

FLOWKIT_HD Vec select(VecInt condition, Vec a, Vec b) { return condition ? a : b; }

FLOWKIT_HD VecDouble widen(Vec a) { return __builtin_convertvector(a, VecDouble); }
FLOWKIT_HD Vec narrow(VecDouble a) { return __builtin_convertvector(a, Vec); }
FLOWKIT_HD VecDouble root(VecDouble a) {
  for (int i = 0; i < FLOWKIT_LANES; ++i) a[i] = __builtin_sqrt(a[i]);
  return a;
}

// fused: a * b + c, rounded once.
#if FLOWKIT_LANES == 16
// The lanes from number n on, followed by the first n of `next`.
template <int n>
FLOWKIT_HD Vec shifted(Vec here, Vec next) {
  return Vec(_mm512_alignr_epi32(__m512i(next), __m512i(here), n));
}
FLOWKIT_HD Vec minimum(Vec a, Vec b) { return _mm512_min_ps(a, b); }
FLOWKIT_HD Vec maximum(Vec a, Vec b) { return _mm512_max_ps(a, b); }
FLOWKIT_HD Vec root(Vec a) { return _mm512_sqrt_ps(a); }
FLOWKIT_HD bool equal(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ) == 0; }
FLOWKIT_HD Vec fused(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
FLOWKIT_HD Vec round_down(Vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
FLOWKIT_HD bool all(VecInt condition) { return _mm512_movepi32_mask(__m512i(condition)) == 0xffff; }
#elif FLOWKIT_LANES == 8
template <int n>
FLOWKIT_HD Vec shifted(Vec here, Vec next) {
  return FLOWKIT_SIMD::shuffled(here, next, VecInt{n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7});
}
FLOWKIT_HD Vec minimum(Vec a, Vec b) { return _mm256_min_ps(a, b); }
FLOWKIT_HD Vec maximum(Vec a, Vec b) { return _mm256_max_ps(a, b); }
FLOWKIT_HD Vec root(Vec a) { return _mm256_sqrt_ps(a); }
FLOWKIT_HD bool equal(Vec a, Vec b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NEQ_UQ)) == 0; }
FLOWKIT_HD Vec fused(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
FLOWKIT_HD Vec round_down(Vec a) { return _mm256_floor_ps(a); }
FLOWKIT_HD bool all(VecInt condition) { return _mm256_movemask_ps(__m256(condition)) == 0xff; }
#else
template <int n>
FLOWKIT_HD Vec shifted(Vec here, Vec next) {
  return FLOWKIT_SIMD::shuffled(here, next, VecInt{n, n + 1, n + 2, n + 3});
}
FLOWKIT_HD Vec minimum(Vec a, Vec b) { return a < b ? a : b; }
FLOWKIT_HD Vec maximum(Vec a, Vec b) { return a > b ? a : b; }
FLOWKIT_HD Vec root(Vec a) {
  for (int i = 0; i < FLOWKIT_LANES; ++i) a[i] = sqrtf(a[i]);
  return a;
}
FLOWKIT_HD bool all(VecInt condition) {
#if defined(__x86_64__)
  return _mm_movemask_ps(__m128(condition)) == 0xf;
#else
  int32_t conjunction = -1;
  for (int i = 0; i < FLOWKIT_LANES; ++i) conjunction &= condition[i];
  return conjunction != 0;
#endif
}
__attribute__((noinline, cold)) static Vec fused_at_ties(Vec a, Vec b, Vec c) {
  for (int i = 0; i < FLOWKIT_LANES; ++i) a[i] = fmaf(a[i], b[i], c[i]);
  return a;
}
// In double the product is exact and the sum is not: to round that once more goes wrong where it has come to lie
// halfway between two floats.
FLOWKIT_HD Vec fused(Vec a, Vec b, Vec c) {
  typedef int64_t VecLong __attribute__((vector_size(8 * FLOWKIT_LANES)));
  const VecDouble sum = widen(a) * widen(b) + widen(c);
  const VecInt below = __builtin_convertvector(VecLong(sum), VecInt) & 0x1fffffff;
  return __builtin_expect(all(below != 0x10000000), true) ? narrow(sum) : fused_at_ties(a, b, c);
}
FLOWKIT_HD Vec round_down(Vec a) {
  const Vec truncated = __builtin_convertvector(__builtin_convertvector(a, VecInt), Vec);
  return truncated > a ? truncated - 1.0f : truncated;
}
#endif

}  // namespace flowkit

#include "../length_math.h"

namespace flowkit {

#if FLOWKIT_LANES == 4
FLOWKIT_HD Vec length(Vec x, Vec y) { return length_in_double(x, y); }
#else
FLOWKIT_HD Vec length(Vec x, Vec y) { return length_by_quotient(x, y); }
#endif

}  // namespace flowkit
