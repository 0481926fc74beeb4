// When the iterations of one warp end. docs/algorithm.md, "Stopping".
#pragma once

#include "tvl1_params.h"

namespace flowkit {

class StopTest {
 public:
  FLOWKIT_HD StopTest(const TVL1Params& params, Size size)
      : rule_(params.stop_rule), threshold_(params.epsilon * params.epsilon * size.width * size.height) {}

  // Whether a sum of squared changes up to limit() ends the warp at every iteration, so that several may run at a time.
  FLOWKIT_HD bool simple() const { return never() || rule_ == StopRule::every; }
  FLOWKIT_HD double limit() const { return never() ? -1.0 : threshold_; }

  // Goes on where an earlier object of the same warp left off.
  FLOWKIT_HD void resume(const StopTest& earlier) {
    counter_ = earlier.counter_;
    iteration_ = earlier.iteration_;
  }

  // Takes the sum of squared changes of the next iteration; true when it was the last.
  FLOWKIT_HD bool done(double error) {
    if (never()) return false;
    if (rule_ == StopRule::cadenced && !due()) return false;
    counter_ = error;
    return !(error > threshold_);
  }

 private:
  FLOWKIT_HD bool never() const { return threshold_ == 0.0; }

  FLOWKIT_HD bool due() {
    const bool test = (iteration_++ & 1) != 0 && counter_ < threshold_;
    if (!test) counter_ -= threshold_;
    return test;
  }

  StopRule rule_;
  double threshold_;
  double counter_ = 0.0;
  int iteration_ = 0;
};

}  // namespace flowkit
