// Programs between linearisation and iteration: the affine reference, and a fresh stop test.
#pragma once

#include "../affine_fit.h"
#include "batch.h"

namespace flowkit {

// The RowMoments of u and v, kRows rows a team, kMomentLanes threads a row.
struct SumRows : Program {
  static constexpr int kRows = kMostThreads / kMomentLanes;
  Batch batch;
  LevelGrid grid;

  SumRows(const Batch& batch, LevelGrid grid) : batch(batch), grid(grid) {}
  std::size_t shared_bytes() const { return kMostThreads * sizeof(RowMoments); }
  FLOWKIT_HD int tiles() const { return (grid.height + kRows - 1) / kRows; }
  std::int64_t teams(int pairs) const { return static_cast<std::int64_t>(pairs) * 2 * tiles(); }

  FLOWKIT_DEVICE RowMoments of_lane(const float* row, int lane) const {
    const double centre = 0.5 * (grid.width - 1);
    RowMoments sums;
    for (int x = lane; x < grid.width; x += kMomentLanes) sums.add_pixel(row[x], x - centre);
    return sums;
  }

  template <class Team>
  FLOWKIT_DEVICE void operator()(Team& team) const {
    const int tile = team.index() % tiles(), component = team.index() / tiles() % 2, pair = team.index() / tiles() / 2;
    const float* plane = batch.current(pair, component);
    team.for_each([&](int rank, int thread) {
      const int y = tile * kRows + thread / kMomentLanes;
      if (y >= grid.height) return;
      team.template shared<RowMoments>(rank)[thread] = of_lane(plane + y * grid.stride, thread % kMomentLanes);
    });
    team.for_each([&](int rank, int thread) {
      const int y = tile * kRows + thread;
      if (thread >= kRows || y >= grid.height) return;
      const RowMoments* lanes = team.template shared<RowMoments>(rank) + thread * kMomentLanes;
      RowMoments row;
      for (int k = 0; k < kMomentLanes; ++k) row.add(lanes[k]);
      double* out = batch.moments + pair * batch.pair_moments + component * 3 * grid.height + y;
      out[0] = row.sum;
      out[grid.height] = row.squares;
      out[2 * grid.height] = row.along;
    });
  }
};

// Every pair runs again; with `affine` the flow's affine gradient is fitted. One team a pair.
struct BeginWarp : Program {
  static constexpr int kMostThreads = kWarp;
  Batch batch;
  LevelGrid grid;
  bool affine;

  BeginWarp(const Batch& batch, LevelGrid grid, bool affine) : batch(batch), grid(grid), affine(affine) {}
  int threads() const { return kMostThreads; }
  std::size_t shared_bytes() const { return 2 * sizeof(Moments); }

  FLOWKIT_DEVICE Moments of_component(int pair, int component) const {
    const double* rows = batch.moments + pair * batch.pair_moments + component * 3 * grid.height;
    const double centre = 0.5 * (grid.height - 1);
    Moments total;
    for (int y = 0; y < grid.height; ++y) {
      RowMoments row;
      row.sum = rows[y];
      row.squares = rows[grid.height + y];
      row.along = rows[2 * grid.height + y];
      total.add(row, y - centre);
    }
    return total;
  }

  template <class Team>
  FLOWKIT_DEVICE void operator()(Team& team) const {
    const int pair = team.index();
    if (affine)
      team.for_each([&](int rank, int thread) {
        if (thread < 2) team.template shared<Moments>(rank)[thread] = of_component(pair, thread);
      });
    team.for_each([&](int rank, int thread) {
      if (thread != 0) return;
      const Moments* moments = team.template shared<Moments>(rank);
      PairStatus& status = batch.status[pair];
      status.active = 1;
      status.repeat = 0;
      status.progress = StopProgress{};
      status.affine = affine ? affine_gradient(grid.width, grid.height, moments[0], moments[1]) : AffineGradient{};
    });
  }
};

}  // namespace flowkit
