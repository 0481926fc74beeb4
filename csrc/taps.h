// The weights of separable filters: computed once a solver, used for every pair.
#pragma once

#include <cmath>
#include <vector>

#include "resample.h"

namespace flowkit {

// Owns the taps that resample an axis of n_in samples to n_out with a step of `ratio`.
class ResampleTaps {
 public:
  ResampleTaps() = default;
  ResampleTaps(int n_in, int n_out, double ratio, Alignment alignment, Kernel kernel)
      : n_(n_out),
        taps_(kernel == Kernel::linear ? 2 : 4),
        index_(n_ * taps_ + kReadBehind),
        weight_(n_ * taps_ + kReadBehind) {
    const int before = taps_ == 2 ? 0 : 1;
    const auto multiply_add = [](float a, float b, float c) { return a * b + c; };
    for (int i = 0; i < n_out; ++i) {
      const double at = source_coordinate(i, ratio, alignment);
      int base = static_cast<int>(std::floor(at));
      float t = static_cast<float>(at - base);
      if (taps_ == 2 && ratio > 1.0 && base >= n_in - 1) {
        // The last pixel as cv2.resize takes it when shrinking: the end of the last interval, which rounds otherwise
        // than the start.
        base = n_in - 2;
        t = 1.0f;
      }
      for (int k = 0; k < taps_; ++k) {
        const int tap = base - before + k;
        index_[k * n_ + i] = tap < 0 ? 0 : (tap < n_in ? tap : n_in - 1);
      }
      if (taps_ == 2) {
        weight_[i] = t;
        continue;
      }
      const CubicWeights<float> weights = cubic_weights(t, kCatmullRom, multiply_add);
      for (int k = 0; k < taps_; ++k) weight_[k * n_ + i] = weights.w[k];
    }
  }
  AxisTaps view() const { return {n_, taps_, index_.data(), weight_.data()}; }

 private:
  // Whole vectors are read.
  static constexpr int kReadBehind = 15;

  int n_ = 0, taps_ = 0;
  std::vector<int32_t> index_;
  std::vector<float> weight_;
};

// weight[0..radius] of a Gaussian that sums to 1 over both sides; radius = ceil(4 sigma). Empty for sigma 0.
inline std::vector<float> gaussian_taps(double sigma) {
  if (sigma == 0.0) return {};
  const int radius = static_cast<int>(std::ceil(4.0 * sigma));
  std::vector<double> weight(radius + 1);
  double total = 0.0;
  for (int k = 0; k <= radius; ++k) {
    weight[k] = std::exp(-0.5 * k * k / (sigma * sigma));
    total += k == 0 ? weight[k] : 2.0 * weight[k];
  }
  std::vector<float> taps;
  for (const double w : weight) taps.push_back(static_cast<float>(w / total));
  return taps;
}

}  // namespace flowkit
