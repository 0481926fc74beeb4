// When the iterations of one warp end. docs/algorithm.md, "Stopping".
#pragma once

#include "tvl1.h"

namespace flowkit {

class StopTest {
 public:
  StopTest(const TVL1Params& params, Size size)
      : rule_(params.stop_rule), threshold_(params.epsilon * params.epsilon * size.width * size.height) {}

  // epsilon 0 never tests, so iterations may run several at a time.
  bool never() const { return threshold_ == 0.0; }

  // Takes the sum of squared changes of the next iteration; true when it was the last.
  bool done(double error) {
    if (never()) return false;
    if (rule_ == StopRule::cadenced && !due()) return false;
    counter_ = error;
    return !(error > threshold_);
  }

 private:
  bool due() {
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
