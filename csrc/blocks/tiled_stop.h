// After each launch of the tiled iteration: where the stop fell, one team a pair.
#pragma once

#include "batch.h"
#include "iteration_plan.h"

namespace flowkit {

struct Decide : Program {
  static constexpr int kMostThreads = 256;
  Batch batch;
  IterationPlan plan;
  StopTest stop;
  int count;         // iterations of the launch before
  bool from_median;  // whether that launch took u and v from the median's planes
  bool tested;

  Decide(const Batch& batch, const IterationPlan& plan, const StopTest& stop, int count, bool from_median, bool tested)
      : batch(batch), plan(plan), stop(stop), count(count), from_median(from_median), tested(tested) {}
  std::size_t shared_bytes() const { return sizeof(double) * plan.iterations; }

  // The launch's result is the pair's state from now on.
  FLOWKIT_DEVICE static void accept(PairStatus& status, int iterations) {
    status.current = 1 - status.current;
    status.iterations += iterations;
    status.repeat = 0;
  }

  FLOWKIT_DEVICE void judge(PairStatus& status, const double* sums) const {
    if (status.repeat > 0) {
      accept(status, status.repeat);
      status.active = 0;
      return;
    }
    if (count == 0) return;
    StopProgress progress = status.progress;
    for (int i = 0; tested && i < count; ++i) {
      if (!stop.done(progress, sums[i])) continue;
      if (i + 1 < count) {
        status.repeat = i + 1;
        status.from_median = from_median;
        return;
      }
      status.active = 0;
    }
    accept(status, count);
    status.progress = progress;
  }

  template <class Team>
  FLOWKIT_DEVICE void operator()(Team& team) const {
    const int pair = team.index();
    PairStatus& status = batch.status[pair];  // read in the phases only, since the last one writes it
    // A warp adds up one iteration's tiles: each lane every 32nd, then the lanes.
    constexpr int warps = kMostThreads / kWarp;
    for (int first = 0; tested && first < count; first += warps) {
      team.for_each(
          [&](int, int thread) {
            const int iteration = first + thread / kWarp;
            double sum = 0.0;
            if (iteration < count && status.active && status.repeat == 0)
              for (int tile = thread % kWarp; tile < plan.tiles(); tile += kWarp)
                sum += batch.errors[pair * batch.pair_errors + iteration * plan.tiles() + tile];
            return sum;
          },
          [&](int rank, int warp, double sum) {
            if (first + warp < count) team.template shared<double>(rank)[first + warp] = sum;
          });
    }
    team.for_each([&](int rank, int thread) {
      if (thread == 0 && status.active) judge(status, team.template shared<double>(rank));
    });
  }
};

}  // namespace flowkit
