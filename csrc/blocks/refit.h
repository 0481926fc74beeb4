// Programs of the refit after the last warp. docs/algorithm.md, "Refit"; the arithmetic is that of refit_math.h.
//
// One step: BlurProducts<RefitProducts>, RefitPatches, SumSignificance, ScaleSignificance, WeighSteps, SmoothSteps,
// AddSteps. Data planes 0 to 2 hold the members of RefitStep.
#pragma once

#include "../affine_fit.h"
#include "../refit_math.h"
#include "warp.h"

namespace flowkit {

struct RefitProducts {
  FLOWKIT_DEVICE static Products at(const Batch& batch, const LevelGrid& grid, int pair, int x, int y) {
    const int i = y * grid.stride + x;
    const bool inside = x > 0 && x < grid.width - 1 && y > 0 && y < grid.height - 1;
    return refit_products(batch.data(pair, 0)[i], batch.data(pair, 1)[i], batch.data(pair, 2)[i],
                          batch.current(pair, kU)[i], batch.current(pair, kV)[i], inside ? 1.0f : 0.0f);
  }
};

// The products blurred along y, and what they say of the motion that is left.
struct RefitPatches {
  Batch batch;
  LevelGrid grid;
  RefitConstants constants;
  GaussianTaps taps;

  FLOWKIT_DEVICE float share(int at, int side) const {
    const float from_start = static_cast<float>(at), from_end = static_cast<float>(side) - 1.0f - from_start;
    return inside_share(minimum(from_start, from_end), constants);
  }

  FLOWKIT_DEVICE void operator()(int pair, int, int x, int y) const {
    const ProductArrays products = scratch_products(batch, pair);
    const auto at = [&](int j) { return products.load(clamp_index(y + j, grid.height) * grid.stride + x); };
    const Products mean = symmetric_sum<Products>(taps.weight, taps.radius, at);
    const RefitStep<float> step = refit_step(mean, share(x, grid.width) * share(y, grid.height), constants);
    const int i = y * grid.stride + x;
    batch.data(pair, 0)[i] = step.u;
    batch.data(pair, 1)[i] = step.v;
    batch.data(pair, 2)[i] = step.significance;
  }
};

// Sums of the significances of each row, each cut at the cap: kRows rows a team, kMomentLanes threads a row.
struct SumSignificance : Program {
  static constexpr int kRows = kMostThreads / kMomentLanes;
  Batch batch;
  LevelGrid grid;

  SumSignificance(const Batch& batch, LevelGrid grid) : batch(batch), grid(grid) {}
  std::size_t shared_bytes() const { return kMostThreads * sizeof(double); }
  FLOWKIT_HD int tiles() const { return (grid.height + kRows - 1) / kRows; }
  std::int64_t teams(int pairs) const { return static_cast<std::int64_t>(pairs) * tiles(); }

  FLOWKIT_DEVICE double of_lane(const float* row, int lane) const {
    double sum = 0.0;
    for (int x = lane; x < grid.width; x += kMomentLanes) sum += minimum(row[x], kSignificanceCap);
    return sum;
  }

  template <class Team>
  FLOWKIT_DEVICE void operator()(Team& team) const {
    const int tile = team.index() % tiles(), pair = team.index() / tiles();
    team.for_each([&](int rank, int thread) {
      const int y = tile * kRows + thread / kMomentLanes;
      if (y >= grid.height) return;
      team.template shared<double>(rank)[thread] =
          of_lane(batch.data(pair, 2) + y * grid.stride, thread % kMomentLanes);
    });
    team.for_each([&](int rank, int thread) {
      const int y = tile * kRows + thread;
      if (thread >= kRows || y >= grid.height) return;
      const double* lanes = team.template shared<double>(rank) + thread * kMomentLanes;
      double row = 0.0;
      for (int k = 0; k < kMomentLanes; ++k) row += lanes[k];
      batch.moments[pair * batch.pair_moments + y] = row;
    });
  }
};

// What a pair's significances are multiplied by, one team for kMostThreads pairs.
struct ScaleSignificance : Program {
  Batch batch;
  LevelGrid grid;
  int pairs;

  ScaleSignificance(const Batch& batch, LevelGrid grid, int pairs) : batch(batch), grid(grid), pairs(pairs) {}

  template <class Team>
  FLOWKIT_DEVICE void operator()(Team& team) const {
    team.for_each([&](int, int thread) {
      const int pair = team.index() * kMostThreads + thread;
      if (pair >= pairs) return;
      const double* rows = batch.moments + pair * batch.pair_moments;
      double total = 0.0;
      for (int y = 0; y < grid.height; ++y) total += rows[y];
      const double area = static_cast<double>(grid.width) * grid.height;
      batch.status[pair].significance_scale = significance_scale(total / area);
    });
  }
};

// Leaves of the steps what their significances allow; item = component.
struct WeighSteps {
  Batch batch;
  LevelGrid grid;
  RefitConstants constants;

  FLOWKIT_DEVICE void operator()(int pair, int item, int x, int y) const {
    const int i = y * grid.stride + x;
    batch.data(pair, item)[i] *= refit_share(batch.data(pair, 2)[i], batch.status[pair].significance_scale, constants);
  }
};

// The steps blurred along x, into the pair's scratch; item = component.
struct SmoothSteps {
  Batch batch;
  LevelGrid grid;
  GaussianTaps taps;

  FLOWKIT_DEVICE void operator()(int pair, int item, int x, int y) const {
    const float* row = batch.data(pair, item) + y * grid.stride;
    const auto at = [&](int k) { return row[clamp_index(x + k, grid.width)]; };
    batch.next(pair, item)[y * grid.stride + x] = symmetric_sum<float>(taps.weight, taps.radius, at);
  }
};

// And along y, added to the flow.
struct AddSteps {
  Batch batch;
  LevelGrid grid;
  GaussianTaps taps;

  FLOWKIT_DEVICE void operator()(int pair, int item, int x, int y) const {
    const float* from = batch.next(pair, item);
    const auto at = [&](int k) { return from[clamp_index(y + k, grid.height) * grid.stride + x]; };
    batch.current(pair, item)[y * grid.stride + x] += symmetric_sum<float>(taps.weight, taps.radius, at);
  }
};

}  // namespace flowkit
