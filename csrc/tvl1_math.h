// The arithmetic of one TV-L1 iteration at one pixel, the only place where it stands.
//
// C. Zach, T. Pock, H. Bischof: A Duality Based Approach for Realtime TV-L1 Optical Flow, DAGM 2007;
// J. Sanchez, E. Meinhardt-Llopis, G. Facciolo: TV-L1 Optical Flow Estimation, IPOL 2013. docs/algorithm.md has the
// equations in order.
//
// Every operation is one IEEE single-precision operation in the order written: nothing is contracted, reassociated or
// approximated. So every SIMD level and the GPU can give the same bits, and with `opencv` rounding those of OpenCV.
// That matters: with zero taps at the border the scheme amplifies a difference in the last bit to 0.01 px
// (docs/algorithm.md, "Rounding").
//
// T is float, or a SIMD vector of floats, one pixel a lane. A vector type brings its own `select`, `root` and `length`
// (csrc/cpu/simd.h), declared before this header is included.
#pragma once

#include "float_math.h"
#include "length_math.h"
#include "view.h"

namespace flowkit {

FLOWKIT_HD float select(bool condition, float a, float b) { return condition ? a : b; }

// For vectors plain arithmetic; for float see float_math.h.
template <class T>
FLOWKIT_HD T inverse(T a) {
  return 1.0f / a;
}
template <class T>
FLOWKIT_HD T floored_root(T a) {
  return root(a);
}

// What the data term needs at each pixel: a linearised image value, or a patch of them.
enum class DataTerm { pixel, patch };

// How the dual step rounds: as OpenCV's CPU version, or with fewer operations.
enum class Rounding { opencv, fast };

// The constants of the iteration, derived from tau, lambda and theta.
struct StepSizes {
  float theta;
  float data_limit;      // lambda * theta
  float dual_step;       // tau / theta
  float gradient_floor;  // squared gradients up to this are not divided by
};

// The gradient of the affine flow that the smoothness term measures departures from; zero for plain total variation.
struct AffineGradient {
  float ux, uy, vx, vy;
};

// I1 linearised around the flow of the last warp: rho(u, v) = rho_c + gx u + gy v. All four are 0 where the data term
// is off.
template <class T>
struct Linearised {
  T gx, gy, rho_c;
  T square;  // gx^2 + gy^2
};

template <class T>
struct Vector2 {
  T x, y;
};

template <class T>
FLOWKIT_HD T residual(const Linearised<T>& at, T u, T v) {
  return at.rho_c + (at.gx * u + at.gy * v);
}

// The step along the gradient that takes the residual to zero, or as far as the limit.
template <class T>
FLOWKIT_HD Vector2<T> step_along_gradient(const Linearised<T>& at, T rho, T to_zero, const StepSizes& s) {
  const T limit = s.data_limit * at.square;
  const T most = T{} + s.data_limit;
  const T amount = select(rho < -limit, most, select(rho > limit, -most, to_zero));
  return {amount * at.gx, amount * at.gy};
}

// TH: the change of (u, v) along the gradient that lowers the data term, at most lambda theta |g| (Zach et al., eq.
// 15).
template <class T>
FLOWKIT_HD Vector2<T> data_step(const Linearised<T>& at, T u, T v, const StepSizes& s) {
  const T rho = residual(at, u, v);
  return step_along_gradient(at, rho, select(at.square > s.gradient_floor, -rho / at.square, T{}), s);
}

// 1 / square, or 0 in its place where the square is too small to divide by.
FLOWKIT_HD float inverse_of_square(float square, float gradient_floor) {
  return square > gradient_floor ? inverse(square) : 0.0f;
}

// The data step where that is known.
FLOWKIT_HD Vector2<float> data_step(const Linearised<float>& at, float inverse_square, float u, float v,
                                    const StepSizes& s) {
  const float rho = residual(at, u, v);
  return step_along_gradient(at, rho, quotient_by(-rho, at.square, inverse_square), s);
}

// The data step of a patch, v = A u + k (patch_math.h says which).
template <class T>
struct PatchStep {
  T a11, a12, a22, k1, k2;
};

template <class T>
FLOWKIT_HD Vector2<T> data_step(const PatchStep<T>& s, T u, T v) {
  return {(s.a11 * u + s.a12 * v) + s.k1, (s.a12 * u + s.a22 * v) + s.k2};
}

// div p, with p zero outside the image: the negative adjoint of the forward difference.
template <class T>
FLOWKIT_HD T divergence(T px, T px_left, T py, T py_above) {
  return (px - px_left) + (py - py_above);
}

// The same in the first column, where OpenCV adds in another order.
template <class T>
FLOWKIT_HD T divergence_first_column(T px, T py, T py_above) {
  return (px + py) - py_above;
}

// Two quotients by one divisor, each rounded once.
template <class T>
FLOWKIT_HD Vector2<T> quotients(T x, T y, T divisor) {
  return {x / divisor, y / divisor};
}
FLOWKIT_HD Vector2<float> quotients(float x, float y, float divisor) {
  const float r = inverse(divisor);
  return {quotient_by(x, divisor, r), quotient_by(y, divisor, r)};
}

// p = (p + step grad) / (1 + step |grad|), rounded as OpenCV does.
template <class T>
FLOWKIT_HD Vector2<T> dual_step(Vector2<T> p, Vector2<T> grad, float step) {
  const T norm = 1.0f + step * length(grad.x, grad.y);
  return quotients(p.x + step * grad.x, p.y + step * grad.y, norm);
}

// The same for the duals of u and v together, with one division for both.
template <class T>
FLOWKIT_HD void dual_step_pair(Vector2<T>& pu, Vector2<T>& pv, Vector2<T> grad_u, Vector2<T> grad_v, float step) {
  const T norm_u = 1.0f + step * floored_root(grad_u.x * grad_u.x + grad_u.y * grad_u.y);
  const T norm_v = 1.0f + step * floored_root(grad_v.x * grad_v.x + grad_v.y * grad_v.y);
  const T both = inverse(norm_u * norm_v);
  const T inverse_u = both * norm_v, inverse_v = both * norm_u;
  pu = {(pu.x + step * grad_u.x) * inverse_u, (pu.y + step * grad_u.y) * inverse_u};
  pv = {(pv.x + step * grad_v.x) * inverse_v, (pv.y + step * grad_v.y) * inverse_v};
}

}  // namespace flowkit
