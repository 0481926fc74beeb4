// The refit after the last warp at one pixel, for host and device: the motion that total variation has shrunk away,
// where a wide patch shows it beyond the noise. docs/algorithm.md, "Refit".
//
// A patch's least squares (B. Lucas, T. Kanade, IJCAI 1981) around the flow found: with M and b the averages of g g^T
// and g rho over n independent pixels, b^T M^-1 b is what a motion explains of the mean square of rho, the rest is
// noise, and n times their ratio is chi-square distributed with two degrees of freedom where nothing is left to find
// (S. Kay, Fundamentals of Statistical Signal Processing II, 1998, ch. 7).
//
// What is asked for is whether a motion is there, not whether something of it is left: a step along the way on which
// the flow already departs from its surroundings has credit for what total variation has let through.
//
// T is float, or a SIMD vector of floats, as for tvl1_math.h.
#pragma once

#include "patch_math.h"

namespace flowkit {

// Grey values: what 8 bits and sampling leave in a still pair without noise.
constexpr float kRefitNoiseFloor = 0.3f * 0.3f;
constexpr float kMostPrecision = 1.0f / kRefitNoiseFloor;
// px: motions of about this size are expected; where the patch says less than that, the step shrinks.
constexpr float kRefitPriorPx = 0.3f;
// Of the trace of a patch's moments, added to both of its diagonal.
constexpr float kRefitRidge = 1e-3f;
// The surroundings are a Gaussian so many times as wide as the patch.
constexpr double kRefitSurroundings = 2.0;
// Significances count up to the cap in their mean over an image; of pure, white noise it is 1.8.
constexpr float kSignificanceCap = 8.0f;
constexpr double kNoiseSignificance = 1.8;

// The constants of a step; `refit_constants` has them from the parameters.
struct RefitConstants {
  float count;          // independent pixels of a patch
  float inverse_prior;  // 1 / (count * prior^2)
  float edge_slope;     // of the share of a patch that is inside the image, per px from the border
  float from, inverse_span;
  float most_credit;
  double noise_limit;  // of a patch, over the image's usual one
};

// As patch_products, but with the residual at (u, v) throughout; `inside` is 1, or 0 in the image's outermost pixels:
// replicated, they make the patches of a Gaussian end at the border, where others would count its noise many times.
template <class T>
FLOWKIT_HD PatchProducts<T> refit_products(T gx, T gy, T rho_c, T u, T v, T inside) {
  const T rho = inside * residual(Linearised<T>{gx, gy, rho_c, T{}}, u, v);
  const T x = inside * gx, y = inside * gy;
  return {{x * x, x * y, y * y, x * rho, y * rho, rho * rho}};
}

// About the share of a patch that is inside, along one axis, `distance` px from the nearer border.
template <class T>
FLOWKIT_HD T inside_share(T distance, const RefitConstants& c) {
  return minimum(in_all_lanes<T>(1.0f), distance * c.edge_slope + 0.5f);
}

// The motion that is left, its significance and credit, and the precision of the patch: one over its noise.
template <class T>
struct RefitStep {
  T u, v, significance, credit, precision;
};

// From the averages around a pixel, of whose patch `share` is inside the image, and whose flow departs from its
// surroundings by departure(0), departure(1): loaded last, when registers are free again.
template <class T, class Departure>
FLOWKIT_HD RefitStep<T> refit_step(const PatchProducts<T>& mean, T share, const Departure& departure,
                                   const RefitConstants& c) {
  // The ridge keeps the inverse to a few digits where all gradients of the patch have one direction, or none.
  const T least = (mean.at[0] + mean.at[2]) * kRefitRidge + 1e-6f;
  const T m11 = mean.at[0] + least, m12 = mean.at[1], m22 = mean.at[2] + least, b1 = mean.at[3], b2 = mean.at[4];
  const T explained = ((m22 * b1 * b1 - 2.0f * (m12 * b1 * b2)) + m11 * b2 * b2) / (m11 * m22 - m12 * m12);
  const T noise = maximum(mean.at[5] - explained, in_all_lanes<T>(kRefitNoiseFloor));
  const T ridge = noise * c.inverse_prior;
  const T a = m11 + ridge, d = m22 + ridge, inverse = 1.0f / (a * d - m12 * m12);
  const T u = (m12 * b2 - d * b1) * inverse, v = (m12 * b1 - a * b2) * inverse;
  // departure^T M step; the step solves (M + ridge) step = -b.
  const T common = -(departure(0) * (b1 + ridge * u) + departure(1) * (b2 + ridge * v));
  const T credit = maximum(in_all_lanes<T>(0.0f), 2.0f * c.count * common / noise * share);
  return {u, v, c.count * explained / noise * share, minimum(in_all_lanes<T>(c.most_credit), credit), 1.0f / noise};
}

// What an image says of a step of all of its pixels.
struct RefitImage {
  float scale;  // of significances: noise that is not white, as of JPEG, or residuals everywhere make all of them
                // larger, and then none of them mean as much
  float trust;  // times a patch's precision: the share of its significance that counts, at most 1. Far noisier than
                // others is a patch where something is covered, and what moves there is not its middle
};

// From the means over an image of the significances, each cut at the cap, and of the precisions.
FLOWKIT_HD RefitImage refit_image(double significance, double precision, const RefitConstants& c) {
  return {static_cast<float>(significance > kNoiseSignificance ? kNoiseSignificance / significance : 1.0),
          static_cast<float>(c.noise_limit / precision)};
}

// The share of a step that is taken.
template <class T>
FLOWKIT_HD T refit_share(T significance, T credit, T precision, const RefitImage& image, const RefitConstants& c) {
  const T one = in_all_lanes<T>(1.0f), trusted = minimum(one, precision * image.trust) * image.scale;
  const T ramp = ((significance + credit) * trusted - c.from) * c.inverse_span;
  return minimum(one, maximum(in_all_lanes<T>(0.0f), ramp));
}

}  // namespace flowkit
