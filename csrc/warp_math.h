// I1 around the flow at the start of a warp, for host and device: its derivatives, what it and they are at
// (x + u, y + v), and its linearisation there. docs/algorithm.md, "One level".
//
// T is float, or a SIMD vector of floats, one pixel a lane. A vector type brings its own functions, declared before
// this header is included, as for tvl1_math.h.
#pragma once

#include "resample.h"
#include "tvl1_math.h"

namespace flowkit {

// A derivative of I1 along one axis, of 3 or 5 points; at(k) is the pixel k behind.
template <class T, class At>
FLOWKIT_HD T derivative(const At& at, bool five_point) {
  const T near = at(1) - at(-1), far = at(2) - at(-2);
  return five_point ? near * (8.0f / 12.0f) - far * (1.0f / 12.0f) : near * 0.5f;
}

// The pixel at or left of (above) a sample point, and the weights of the taps around it.
template <class T>
struct SamplePoint {
  T left, top;
  CubicWeights<T> x, y;
};

// Points further outside than the reach of all taps are pulled to where all taps are border already.
template <class T>
FLOWKIT_HD T clamp_point(T at, int side) {
  return maximum(minimum(at, in_all_lanes<T>(side + 1.0f)), in_all_lanes<T>(-2.0f));
}

template <class T>
FLOWKIT_HD SamplePoint<T> sample_point(T x, T y, int width, int height, float cubic) {
  x = clamp_point(x, width);
  y = clamp_point(y, height);
  const T left = round_down(x), top = round_down(y);
  return {left, top, cubic_weights(x - left, cubic, RoundedOnce{}), cubic_weights(y - top, cubic, RoundedOnce{})};
}

// Neighbouring taps of one row.
template <class T, int taps>
struct TapRow {
  T at[taps];
};

// The weighted sum of x_taps x y_taps taps: rows first, then the column, fused as cv2.remap does; row(j) is a TapRow.
// Weights of zero in front of the others or behind them change no bit.
template <class T, int x_taps, int y_taps, class Row>
FLOWKIT_HD T sum_taps(const T (&x)[x_taps], const T (&y)[y_taps], const Row& row) {
  T value = {};
  FLOWKIT_UNROLL
  for (int j = 0; j < y_taps; ++j) {
    const TapRow<T, x_taps> taps = row(j);
    T sum = taps.at[0] * x[0];
    FLOWKIT_UNROLL
    for (int i = 1; i < x_taps; ++i) sum = fused(taps.at[i], x[i], sum);
    value = j == 0 ? sum * y[0] : fused(sum, y[j], value);
  }
  return value;
}

// I1 and its derivatives at a sample point.
template <class T>
struct Sampled {
  T value, dx, dy;
};

// The data term is on where x_min <= x <= x_max and y_min <= y <= y_max for the sample point (x, y).
struct DataBounds {
  float x_min, x_max, y_min, y_max;
};

template <class T>
FLOWKIT_HD auto is_on(const DataBounds& on, T x, T y) {
  return (x >= on.x_min) & (x <= on.x_max) & (y >= on.y_min) & (y <= on.y_max);
}

// I1 less I0, linear around the flow (u, v) of the sample point; zero where the data term is off.
template <class T, class Condition>
FLOWKIT_HD Linearised<T> linearised(const Sampled<T>& i1, T i0, T u, T v, Condition on) {
  const T gx = select(on, i1.dx, T{}), gy = select(on, i1.dy, T{});
  return {gx, gy, select(on, i1.value - gx * u - gy * v - i0, T{}), gx * gx + gy * gy};
}

// rho_c of a linearisation whose residual loses its mean around the pixel. `residual_mean` and `on_mean` are averages
// of the residual, and of where the data term is on (1 or 0), under one Gaussian: their quotient is the mean over the
// pixels where it is on.
template <class T, class Condition>
FLOWKIT_HD T without_mean(T rho_c, T residual_mean, T on_mean, Condition on) {
  return select(on, rho_c - residual_mean / maximum(on_mean, in_all_lanes<T>(1e-6f)), T{});
}

}  // namespace flowkit
