// Where samples are taken and how they are weighted, for host and device. docs/algorithm.md, "Pyramid" and "One level".
#pragma once

#include "float_math.h"
#include "view.h"

namespace flowkit {

enum class Alignment { centre, corner };
enum class Interpolation { linear, cubic };

constexpr float kCatmullRom = -0.5f;

// The pixel of 0 .. n - 1 that is nearest to i.
FLOWKIT_HD int clamp_index(int i, int n) { return i < 0 ? 0 : (i < n ? i : n - 1); }

// The source coordinate of output sample i, for a step of `ratio` source samples an output sample.
FLOWKIT_HD double source_coordinate(int i, double ratio, Alignment alignment) {
  return alignment == Alignment::centre ? (i + 0.5) * ratio - 0.5 : i * ratio;
}

// The taps of a resampling along one axis of n outputs: tap k of output i is input[index[k * n + i]]. Two taps (linear)
// have one fraction each, weight[i]; four taps (cubic) have weights weight[k * n + i].
struct AxisTaps {
  int n;
  int taps;
  const int32_t* index;
  const float* weight;
};

// The weights of the taps at floor - 1 .. floor + 2 for the cubic kernel with parameter a, at fraction t. R. Keys,
// Cubic Convolution Interpolation for Digital Image Processing, 1981; factored and rounded as cv2.remap does.
template <class T>
struct CubicWeights {
  T w[4];
};

// x * y + z with one rounding, or with two.
struct RoundedOnce {
  template <class T>
  FLOWKIT_HD T operator()(T x, T y, T z) const {
    return fused(x, y, z);
  }
};
struct RoundedTwice {
  template <class T>
  FLOWKIT_HD T operator()(T x, T y, T z) const {
    return x * y + z;
  }
};

template <class T, class MultiplyAdd>
FLOWKIT_HD CubicWeights<T> cubic_weights(T t, float a, MultiplyAdd multiply_add) {
  const T s = 1.0f - t;
  const T square = t * t;
  const T one = T{} + 1.0f;
  const T w0 = a * (t * (s * s));
  const T w3 = a * (s * square);
  const T w1 = multiply_add(multiply_add(T{} + (a + 2.0f), t, T{} - (a + 3.0f)), square, one);
  return {{w0, w1, ((one - w0) - w1) - w3, w3}};
}

// The taps of one output: input[index[k]] has weight[k]. Two taps (linear) have one fraction, weight[0].
struct Taps {
  int index[4];
  float weight[4];
};

// The taps of output i of an axis of n_in samples, resampled with a step of `ratio`.
FLOWKIT_HD Taps taps_at(int i, int n_in, double ratio, Alignment alignment, Interpolation interpolation) {
  const bool linear = interpolation == Interpolation::linear;
  const double at = source_coordinate(i, ratio, alignment);
  int base = static_cast<int>(floor(at));
  float t = static_cast<float>(at - base);
  if (linear && ratio > 1.0 && base >= n_in - 1) {
    // The last pixel as cv2.resize takes it when shrinking: the end of the last interval, which rounds otherwise than
    // the start.
    base = n_in - 2;
    t = 1.0f;
  }
  Taps out = {};
  for (int k = 0; k < 4; ++k) {
    out.index[k] = clamp_index(base - (linear ? 0 : 1) + k, n_in);
  }
  if (linear) {
    out.weight[0] = t;
    return out;
  }
  const CubicWeights<float> weights = cubic_weights(t, kCatmullRom, RoundedTwice{});
  for (int k = 0; k < 4; ++k) out.weight[k] = weights.w[k];
  return out;
}

// Linear interpolation from a (t = 0) to b (t = 1), rounded as cv2.resize does.
template <class T>
FLOWKIT_HD T between(T a, T b, T t) {
  return fused(t, b - a, a);
}

// One output along an axis: from tap(k) and weight(k), as taps_at has them.
template <class T, class Tap, class Weight>
FLOWKIT_HD T resampled_along(bool linear, const Tap& tap, const Weight& weight) {
  return linear ? between<T>(tap(0), tap(1), weight(0))
                : weight(0) * tap(0) + weight(1) * tap(1) + weight(2) * tap(2) + weight(3) * tap(3);
}

// An output in another unit; `gain` in double precision.
template <class T>
FLOWKIT_HD T scaled(T value, double gain) {
  return narrow(gain * widen(value));
}

}  // namespace flowkit
