// Square roots and quotients of floats that are rounded correctly, without the branches with which compilers guard
// them.
//
// For normal numbers a GPU's own sequence is a hardware approximation and one or two corrections by fused
// multiply-adds; around it stand a test of the range and a slow path, a third of the instructions of an iteration. In
// the iteration the range is known, so here are the same sequences alone (as nvcc 13 emits them for sm_75 to sm_120).
// On the host, where tests run the GPU's programs, the approximation is the rounded value itself.
#pragma once

#include "view.h"

#if !defined(__CUDACC__)
#include <math.h>
#endif

namespace flowkit {

#if defined(__CUDA_ARCH__)
FLOWKIT_HD float minimum(float a, float b) { return fminf(a, b); }
FLOWKIT_HD float maximum(float a, float b) { return fmaxf(a, b); }
#else
FLOWKIT_HD float minimum(float a, float b) { return a < b ? a : b; }
FLOWKIT_HD float maximum(float a, float b) { return a > b ? a : b; }
#endif

// A value in every lane of a vector; for float the value itself. T{} + value would make a zero of -0.
template <class T>
FLOWKIT_HD T in_all_lanes(float value) {
  return value - T{};
}

FLOWKIT_HD bool equal(float a, float b) { return a == b; }
FLOWKIT_HD float root(float a) { return sqrtf(a); }
FLOWKIT_HD double root(double a) { return sqrt(a); }
FLOWKIT_HD float round_down(float a) { return floorf(a); }
FLOWKIT_HD double widen(float a) { return a; }
FLOWKIT_HD float narrow(double a) { return static_cast<float>(a); }

// a * b + c, rounded once.
FLOWKIT_HD float fused(float a, float b, float c) { return fmaf(a, b, c); }

FLOWKIT_HD float approximate_inverse(float a) {
#if defined(__CUDA_ARCH__)
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a));
  return r;
#else
  return 1.0f / a;
#endif
}

FLOWKIT_HD float approximate_inverse_root(float a) {
#if defined(__CUDA_ARCH__)
  float r;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a));
  return r;
#else
  return static_cast<float>(1.0 / sqrt(static_cast<double>(a)));
#endif
}

// 1 / a, for 2^-126 <= |a| < 2^126.
FLOWKIT_HD float inverse(float a) {
  const float r = approximate_inverse(a);
  return fmaf(r, fmaf(-a, r, 1.0f), r);
}

// a / b, for b as above, |a| >= 2^-102 and a quotient that is no subnormal number: with the rounded inverse the
// remainder of the first guess is exact and corrects it (P. Markstein, Computation of Elementary Functions on the IBM
// RISC System/6000 Processor, 1990).
FLOWKIT_HD float quotient_by(float a, float b, float inverse_b) {
  const float q = a * inverse_b;
  return fmaf(inverse_b, fmaf(-b, q, a), q);
}

// sqrt(max(a, 2^-100)), and half its inverse, which is an approximation. The floor keeps the sequence in its range,
// also for 0, and is lost where the root is added to 1.
struct Root {
  float value, half_inverse;
};

FLOWKIT_HD Root floored_root_of(float a) {
  const float b = maximum(a, 0x1p-100f);
  const float r = approximate_inverse_root(b);
  const float s = b * r, half = 0.5f * r;
  return {fmaf(fmaf(-s, s, b), half, s), half};
}
FLOWKIT_HD float floored_root(float a) { return floored_root_of(a).value; }

}  // namespace flowkit
