// What two frames say of the flow between them, on the CPU. docs/algorithm.md, "Quality".
#pragma once

#include <vector>

#include "../tvl1_params.h"
#include "../view.h"
#include "kernels.h"
#include "memory.h"

namespace flowkit {

// As flowkit.motion.quality.Quality has them.
struct FlowQuality {
  float residual, noise, brightness, gain, left, scatter_px;
};

// One object a worker and image size.
class QualityGauge {
 public:
  QualityGauge(Size size, const KernelTable& kernels);

  // flow: (2, h, w) contiguous, px. The result depends on the arguments alone, not on earlier calls.
  FlowQuality measure(const FrameView& frame0, const FrameView& frame1, ValueRange range, const float* flow);

 private:
  struct Light {
    double brightness, gain;
  };

  std::ptrdiff_t samples_in() const;
  void convolve(Grid g, float* in, const std::vector<float>& taps, float* out);
  void load(const FrameView& frame0, const FrameView& frame1, ValueRange range);
  void warp(const float* u, const float* v);
  double residual();
  double noise();
  Light light(const float* u, const float* v);
  double left() const;
  double scatter(double noise, const float* u, const float* v);

  const KernelTable& kernels_;
  int every_;  // pixels from a sample to the next
  Grid frame_, samples_, flow_;
  std::vector<float> band_taps_, mean_taps_;
  double noise_left_;
  Block block_;
  // Planes with a border: of pixels, and of samples. band_ is the blurred frame1 at a sample's match, less frame0.
  float *frame0_, *frame1_, *blurred0_, *blurred1_, *along_x_;
  float *band_, *means_;
  // A value a sample: whether its match is inside of frame1, 1 or 0; frame1 there less frame0; scratch.
  float *inside_, *difference_, *lists_[4];
  float* columns_;
};

}  // namespace flowkit
