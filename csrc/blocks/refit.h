// Programs of the refit after the last warp. docs/algorithm.md, "Refit"; the arithmetic is that of refit_math.h.
//
// Each step: BlurProducts<RefitProducts>, RefitPatches, SumSteps, JudgeSteps, WeighSteps, Blur along x, AddSteps. Data
// planes 0 to 4 hold the members of RefitStep. The duals have done their work: their planes are free.
#pragma once

#include "../affine_fit.h"
#include "../refit_math.h"
#include "warp.h"

namespace flowkit {

// Where there is credit: the flow's mean around each pixel, u's in the first of these variables and v's in the next, by
// way of the others.
constexpr int kSurroundings = kPuX, kSurroundingsAlongX = kPvX;

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
  int surroundings;  // variable with the mean of u; that of v is the next. The flow itself, where there is no credit
  GaussianTaps taps;

  FLOWKIT_DEVICE float share(int at, int side) const {
    const float from_start = static_cast<float>(at), from_end = static_cast<float>(side) - 1.0f - from_start;
    return inside_share(minimum(from_start, from_end), constants);
  }

  FLOWKIT_DEVICE void operator()(int pair, int, int x, int y) const {
    const ProductArrays products = scratch_products(batch, pair);
    const auto at = [&](int j) { return products.load(clamp_index(y + j, grid.height) * grid.stride + x); };
    const Products mean = symmetric_sum<Products>(taps.weight, taps.radius, at);
    const int i = y * grid.stride + x;
    const auto departure = [&](int k) { return batch.current(pair, k)[i] - batch.current(pair, surroundings + k)[i]; };
    const float inside = share(x, grid.width) * share(y, grid.height);
    const RefitStep<float> step = refit_step(mean, inside, departure, constants);
    batch.data(pair, 0)[i] = step.u;
    batch.data(pair, 1)[i] = step.v;
    batch.data(pair, 2)[i] = step.significance;
    batch.data(pair, 3)[i] = step.credit;
    batch.data(pair, 4)[i] = step.precision;
  }
};

// Sums of each row, of the significances and of the precisions: kRows rows a team, kMomentLanes threads a row.
struct SumSteps : Program {
  static constexpr int kRows = kMostThreads / kMomentLanes;
  Batch batch;
  LevelGrid grid;

  SumSteps(const Batch& batch, LevelGrid grid) : batch(batch), grid(grid) {}
  std::size_t shared_bytes() const { return kMostThreads * sizeof(double); }
  FLOWKIT_HD int tiles() const { return (grid.height + kRows - 1) / kRows; }
  std::int64_t teams(int pairs) const { return static_cast<std::int64_t>(pairs) * 2 * tiles(); }
  // Where the sums of the significances (0) or precisions (1) of a pair's rows are.
  FLOWKIT_DEVICE double* sums(int pair, int which) const {
    return batch.moments + pair * batch.pair_moments + which * grid.height;
  }

  FLOWKIT_DEVICE static double of_lane(const float* row, int width, int lane, float most) {
    double sum = 0.0;
    for (int x = lane; x < width; x += kMomentLanes) sum += minimum(row[x], most);
    return sum;
  }

  template <class Team>
  FLOWKIT_DEVICE void operator()(Team& team) const {
    const int tile = team.index() % tiles(), item = team.index() / tiles(), which = item % 2, pair = item / 2;
    const float* plane = batch.data(pair, which == 0 ? 2 : 4);
    const float most = which == 0 ? kSignificanceCap : kMostPrecision;
    team.for_each([&](int rank, int thread) {
      const int y = tile * kRows + thread / kMomentLanes;
      if (y >= grid.height) return;
      team.template shared<double>(rank)[thread] =
          of_lane(plane + y * grid.stride, grid.width, thread % kMomentLanes, most);
    });
    team.for_each([&](int rank, int thread) {
      const int y = tile * kRows + thread;
      if (thread >= kRows || y >= grid.height) return;
      const double* lanes = team.template shared<double>(rank) + thread * kMomentLanes;
      double row = 0.0;
      for (int k = 0; k < kMomentLanes; ++k) row += lanes[k];
      sums(pair, which)[y] = row;
    });
  }
};

// What each pair says of its steps, one team for kMostThreads pairs.
struct JudgeSteps : Program {
  SumSteps rows;
  RefitConstants constants;
  int pairs;

  JudgeSteps(const SumSteps& rows, const RefitConstants& constants, int pairs)
      : rows(rows), constants(constants), pairs(pairs) {}

  FLOWKIT_DEVICE double mean(int pair, int which) const {
    const double* sums = rows.sums(pair, which);
    double total = 0.0;
    for (int y = 0; y < rows.grid.height; ++y) total += sums[y];
    return total / (static_cast<double>(rows.grid.width) * rows.grid.height);
  }

  template <class Team>
  FLOWKIT_DEVICE void operator()(Team& team) const {
    team.for_each([&](int, int thread) {
      const int pair = team.index() * kMostThreads + thread;
      if (pair < pairs) rows.batch.status[pair].refit = refit_image(mean(pair, 0), mean(pair, 1), constants);
    });
  }
};

// Leaves of the steps what they are to have.
struct WeighSteps {
  Batch batch;
  LevelGrid grid;
  RefitConstants constants;

  FLOWKIT_DEVICE void operator()(int pair, int, int x, int y) const {
    float* const data = batch.data(pair, 0) + y * grid.stride + x;
    const auto at = [&](int k) -> float& { return data[k * batch.plane_floats]; };
    const float share = refit_share(at(2), at(3), at(4), batch.status[pair].refit, constants);
    at(0) *= share;
    at(1) *= share;
  }
};

// What Blur has left of the steps along x, in the pair's scratch, blurred along y and added to the flow; item =
// component.
struct AddSteps {
  Batch batch;
  LevelGrid grid;
  GaussianTaps taps;

  FLOWKIT_DEVICE void operator()(int pair, int item, int column, int row) const {
    const BlurGroup<false> group(grid, column, row);
    float steps[kBlurredAtOnce];
    group.convolve(batch.next(pair, item), taps, steps);
    float* const flow = batch.current(pair, item);
    group.each([&](int i, int x, int y) { flow[y * grid.stride + x] += steps[i]; });
  }
};

}  // namespace flowkit
