// The data term of a patch at one pixel, for host and device: products of gradients and residuals, which Gaussians
// average over the neighbourhood, and the linear step that their averages give. docs/algorithm.md, "One level".
//
// Bruhn, Weickert, Schnoerr: Lucas/Kanade Meets Horn/Schunck, IJCV 2005 (the combined local-global data term); the
// weights are one step of iteratively reweighted least squares for a robust norm of the patch's residual.
//
// T is float, or a SIMD vector of floats, as for tvl1_math.h.
#pragma once

#include "tvl1_math.h"

namespace flowkit {

constexpr int kProducts = 6;

template <class T>
struct PatchProducts {
  T at[kProducts];  // gx gx, gx gy, gy gy, gx rho_c, gy rho_c, rho rho

  FLOWKIT_HD PatchProducts& operator+=(const PatchProducts& other) {
    FLOWKIT_UNROLL
    for (int k = 0; k < kProducts; ++k) at[k] += other.at[k];
    return *this;
  }
};

template <class T>
FLOWKIT_HD PatchProducts<T> operator+(const PatchProducts<T>& a, const PatchProducts<T>& b) {
  PatchProducts<T> sum;
  FLOWKIT_UNROLL
  for (int k = 0; k < kProducts; ++k) sum.at[k] = a.at[k] + b.at[k];
  return sum;
}

template <class T>
FLOWKIT_HD PatchProducts<T> operator*(float weight, const PatchProducts<T>& a) {
  PatchProducts<T> product;
  FLOWKIT_UNROLL
  for (int k = 0; k < kProducts; ++k) product.at[k] = weight * a.at[k];
  return product;
}

// Of the linearised image, with the residual at (u, v).
template <class T>
FLOWKIT_HD PatchProducts<T> patch_products(T gx, T gy, T rho_c, T u, T v) {
  const T rho = residual(Linearised<T>{gx, gy, rho_c, T{}}, u, v);
  return {{gx * gx, gx * gy, gy * gy, gx * rho_c, gy * rho_c, rho * rho}};
}

// What a patch's residual counts: at first as its square; beyond the scale as its length, or as the logarithm of that.
enum class ResidualNorm { charbonnier, cauchy };

struct ResidualLimit {
  float inverse_square;  // of the scale
  ResidualNorm norm;
};

FLOWKIT_HD ResidualLimit residual_limit(float scale, ResidualNorm norm) { return {1.0f / (scale * scale), norm}; }

// How far a patch is trusted: 1 / sqrt(1 + mean square / scale^2), or without the root.

template <class T>
FLOWKIT_HD T patch_trust(T mean_square, ResidualLimit limit) {
  const T excess = 1.0f + mean_square * limit.inverse_square;
  return 1.0f / (limit.norm == ResidualNorm::cauchy ? excess : root(excess));
}

// The minimiser of |v - u|^2 / 2 + weight (v J v + 2 b v) / 2 is A u + k with A = (I + weight J)^-1 and k = -weight A
// b.
template <class T>
FLOWKIT_HD PatchStep<T> patch_step(T j11, T j12, T j22, T b1, T b2, float weight) {
  const T m11 = 1.0f + weight * j11, m12 = weight * j12, m22 = 1.0f + weight * j22;
  const T inverse = 1.0f / (m11 * m22 - m12 * m12);
  const T a11 = m22 * inverse, a12 = -m12 * inverse, a22 = m11 * inverse;
  return {a11, a12, a22, -weight * (a11 * b1 + a12 * b2), -weight * (a12 * b1 + a22 * b2)};
}

// From the averages around a pixel; `weight` is lambda theta.
template <class T>
FLOWKIT_HD PatchStep<T> patch_step(const PatchProducts<T>& mean, ResidualLimit limit, float weight) {
  const T trust = patch_trust(mean.at[5], limit);
  return patch_step(trust * mean.at[0], trust * mean.at[1], trust * mean.at[2], trust * mean.at[3], trust * mean.at[4],
                    weight);
}

}  // namespace flowkit
