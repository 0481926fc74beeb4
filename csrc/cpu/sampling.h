// A picture between its pixels, by the kernels of cubic convolution and of Lanczos. Unlike cv2.remap's Lanczos, no
// place is rounded.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "../resample.h"

namespace flowkit {

constexpr float kCubic = -0.75f;
constexpr int kLanczosTaps = 8;
// Of a plane that is sampled: as far outside as a tap can be.
constexpr int kBorder = kLanczosTaps;

// A tap a lane.
template <int taps>
struct LanesOf {
  typedef float type __attribute__((vector_size(sizeof(float) * taps)));
};
template <int taps>
using Lanes = typename LanesOf<taps>::type;

inline double sinc(double x) {
  constexpr double pi = 3.14159265358979323846;
  return x == std::floor(x) ? x == 0.0 : std::sin(pi * x) / (pi * x);
}

// The weights of Lanczos' kernel of 8 taps by the fraction of a pixel, linear between 256 steps: good to 1e-5.
class LanczosWeights {
 public:
  LanczosWeights() {
    for (int step = 0; step <= kSteps; ++step) {
      double weight[kLanczosTaps], total = 0.0;
      for (int k = 0; k < kLanczosTaps; ++k) {
        const double apart = static_cast<double>(step) / kSteps + (kLanczosTaps / 2 - 1) - k;
        total += weight[k] = sinc(apart) * sinc(apart / (kLanczosTaps / 2));
      }
      for (int k = 0; k < kLanczosTaps; ++k) table_[step][k] = static_cast<float>(weight[k] / total);
    }
  }

  Lanes<kLanczosTaps> at(float fraction) const {
    const float place = fraction * kSteps;
    const int step = std::min(static_cast<int>(place), kSteps - 1);
    return table_[step] + (place - step) * (table_[step + 1] - table_[step]);
  }

 private:
  static constexpr int kSteps = 256;
  Lanes<kLanczosTaps> table_[kSteps + 1];
};

inline const LanczosWeights& lanczos_weights() {
  static const LanczosWeights weights;
  return weights;
}

inline Lanes<4> cubic_lanes(float fraction) {
  const CubicWeights<float> weights = cubic_weights(fraction, kCubic, RoundedTwice{});
  return Lanes<4>{weights.w[0], weights.w[1], weights.w[2], weights.w[3]};
}

// A coordinate of a sample's match: the pixel at or before it, and how far behind that it lies.
struct Place {
  int pixel;
  float fraction;
};

// Matches further outside than the reach of all taps are pulled to where all taps are border already.
inline Place place_of(float at, int side) {
  constexpr float reach = kLanczosTaps / 2;
  at = maximum(minimum(at, side - 1 + reach), -reach);
  const int truncated = static_cast<int>(at);
  const int pixel = truncated > at ? truncated - 1 : truncated;
  return {pixel, at - pixel};
}

// The picture at (x, y), by as many taps each way as there are weights.
template <int taps>
float sampled(const float* plane, std::ptrdiff_t stride, Place x, Place y, Lanes<taps> across, Lanes<taps> down) {
  const float* row = plane + (y.pixel - (taps / 2 - 1)) * stride + (x.pixel - (taps / 2 - 1));
  Lanes<taps> columns = {};
  for (int j = 0; j < taps; ++j, row += stride) {
    Lanes<taps> pixels;
    std::memcpy(&pixels, row, sizeof pixels);
    columns += down[j] * pixels;
  }
  columns *= across;
  float total = 0.0f;
  for (int i = 0; i < taps; ++i) total += columns[i];
  return total;
}

}  // namespace flowkit
