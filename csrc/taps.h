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
  ResampleTaps(int n_in, int n_out, double ratio, Alignment alignment, Interpolation interpolation)
      : n_(n_out),
        taps_(interpolation == Interpolation::linear ? 2 : 4),
        index_(n_ * taps_ + kReadBehind),
        weight_(n_ * taps_ + kReadBehind) {
    for (int i = 0; i < n_out; ++i) {
      const Taps taps = taps_at(i, n_in, ratio, alignment, interpolation);
      for (int k = 0; k < taps_; ++k) index_[k * n_ + i] = taps.index[k];
      for (int k = 0; k < (taps_ == 2 ? 1 : 4); ++k) weight_[k * n_ + i] = taps.weight[k];
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

// weight[0..radius] of a Gaussian that sums to 1 over both sides.
inline std::vector<float> gaussian_taps(double sigma, int radius) {
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

// The same with radius = ceil(4 sigma). Empty for sigma 0.
inline std::vector<float> gaussian_taps(double sigma) {
  return sigma == 0.0 ? std::vector<float>() : gaussian_taps(sigma, static_cast<int>(std::ceil(4.0 * sigma)));
}

}  // namespace flowkit
