// When the iterations of one warp end. docs/algorithm.md, "Stopping".
#pragma once

#include "tvl1_params.h"

namespace flowkit {

// How far the test of a warp has come.
struct StopProgress {
  double counter = 0.0;
  int iteration = 0;
};

class StopTest {
 public:
  FLOWKIT_HD StopTest(const TVL1Params& params, Size size)
      : rule_(params.stop_rule), threshold_(params.epsilon * params.epsilon * size.width * size.height) {
    // As OpenCV, which compares two floats.
    if (params.rounding == Rounding::opencv) threshold_ = static_cast<float>(threshold_);
  }

  // Whether a sum of squared changes up to limit() ends the warp at every iteration, so that several may run at a time.
  FLOWKIT_HD bool simple() const { return never() || rule_ == StopRule::every; }
  FLOWKIT_HD double limit() const { return never() ? -1.0 : threshold_; }

  // Takes the sum of squared changes of the next iteration; true when it was the last.
  FLOWKIT_HD bool done(StopProgress& progress, double error) const {
    if (never()) return false;
    if (rule_ == StopRule::cadenced && !due(progress)) return false;
    progress.counter = error;
    return !(error > threshold_);
  }

 private:
  FLOWKIT_HD bool never() const { return threshold_ == 0.0; }

  FLOWKIT_HD bool due(StopProgress& progress) const {
    const bool test = (progress.iteration++ & 1) != 0 && progress.counter < threshold_;
    if (!test) progress.counter -= threshold_;
    return test;
  }

  StopRule rule_;
  double threshold_;
};

}  // namespace flowkit
