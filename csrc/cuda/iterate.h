// The primal-dual iteration on chip: u, v and the duals of a region in registers, its constants in shared memory.
//
// A thread owns a cell of 4 x 4 pixels. Per iteration two phases: the primal step needs the duals left of and above
// the cell, the dual step u and v right of and below it; neighbours pass these edges through shared memory, and the
// ranks of a cluster through each other's. Two ways to cover a level (IterationPlan):
//
// *resident*: the team's ranks hold bands of the whole level and run all iterations of a launch, with the stop test
// after each: a warp's sum of squared changes is written before the barrier between the phases, added up during the
// dual step, and read behind the barrier that ends it, so the test waits for nobody.
//
// *tiled*: a team holds a tile and a halo of as many pixels as iterations. It reads one of the pair's two states and
// writes its own pixels into the other, with the sums of each iteration beside. Where the stop turns out to have fallen
// inside a launch, the next one repeats it up to there (Decide, in decide.h).
//
// Beyond the last column and row of the image u and v continue with the affine reference's slope, so that their
// differences stay the reference's there and the duals zero. The edge of a region that is not the image's is treated
// alike: wrong, but only as far as the halo goes. Cells beyond the image compute numbers that nobody inside reads.
#pragma once

#include "cell.h"

namespace flowkit {

// What of the iteration is fixed at compile time.
template <DataTerm term_, Rounding rounding_, bool affine_, bool tested_>
struct IterationConfig {
  static constexpr DataTerm term = term_;
  static constexpr Rounding rounding = rounding_;
  static constexpr bool affine = affine_;  // off: the affine reference is zero
  static constexpr bool tested = tested_;  // off: nothing stops early
  static constexpr int constants = term == DataTerm::patch ? 5 : 4;
};

template <class Config>
struct Iterate : Program {
  static constexpr int kMostThreads = 512;
  static constexpr bool kClusters = true;
  using Memory = RegionMemory<Config::constants>;

  Batch batch;
  Grid grid;
  IterationPlan plan;
  StepSizes steps;
  StopTest stop;
  int count;         // iterations of this launch, for pairs that have none to repeat
  bool from_median;  // u and v come from the median's planes

  Iterate(const Batch& batch, Grid grid, const IterationPlan& plan, const StepSizes& steps, const StopTest& stop,
          int count, bool from_median)
      : batch(batch), grid(grid), plan(plan), steps(steps), stop(stop), count(count), from_median(from_median) {}
  int ranks() const { return plan.ranks; }
  int threads() const { return plan.threads(); }
  std::size_t shared_bytes() const { return plan.shared_bytes(); }
  std::int64_t teams(int pairs) const { return static_cast<std::int64_t>(pairs) * plan.tiles(); }

  template <class Team>
  FLOWKIT_DEVICE Memory memory(Team& team, int rank) const {
    return Memory(team.template shared<Float4>(rank), plan.cells());
  }
  template <class Team>
  FLOWKIT_DEVICE Memory remote_memory(Team& team, int rank) const {
    return Memory(team.template remote<Float4>(rank), plan.cells());
  }

  // The same cell's place in the region's next row up or down, as a ring.
  FLOWKIT_DEVICE int above(int cell, CellFlags flags) const {
    return flags.is(CellFlags::kFirstRow) ? cell + (plan.rows - 1) * plan.columns : cell - plan.columns;
  }
  FLOWKIT_DEVICE int below(int cell, CellFlags flags) const {
    return flags.is(CellFlags::kLastRow) ? cell - (plan.rows - 1) * plan.columns : cell + plan.columns;
  }

  FLOWKIT_DEVICE CellPlace place(int tile, int rank, int cell) const {
    const int tile_x = tile % plan.tiles_x, tile_y = tile / plan.tiles_x;
    const int x0 = tile_x * plan.step_x(), y0 = tile_y * plan.step_y();
    CellPlace p;
    p.x = x0 + cell % plan.columns * kCellColumns;
    p.y = y0 + (rank * plan.rows + cell / plan.columns) * kCellRows;
    p.left = tile_x == 0 ? 0 : x0 + plan.halo_x();
    p.top = tile_y == 0 ? 0 : y0 + plan.halo_y();
    p.right = tile_x == plan.tiles_x - 1 ? grid.width : x0 + plan.width() - plan.halo_x();
    p.bottom = tile_y == plan.tiles_y - 1 ? grid.height : y0 + plan.height() - plan.halo_y();
    return p;
  }

  FLOWKIT_DEVICE CellFlags flags_of(int tile, int rank, int cell, const CellPlace& p) const {
    const int column = cell % plan.columns, row = cell / plan.columns;
    CellFlags flags;
    flags.set(CellFlags::kFirstColumn, column == 0);
    flags.set(CellFlags::kLastColumn, column == plan.columns - 1);
    flags.set(CellFlags::kFirstRow, row == 0);
    flags.set(CellFlags::kLastRow, row == plan.rows - 1);
    flags.set(CellFlags::kImageLeft, p.x == 0);
    flags.set(CellFlags::kRankAbove, row == 0 && rank > 0);
    flags.set(CellFlags::kRankBelow, row == plan.rows - 1 && rank < plan.ranks - 1);
    flags.own_columns(p.left - p.x, p.right - p.x);
    flags.own_rows(p.top - p.y, p.bottom - p.y);
    // Where the image ends, or the region before it.
    const int end_x = tile % plan.tiles_x * plan.step_x() + plan.width();
    const int end_y = tile / plan.tiles_x * plan.step_y() + plan.height() * plan.ranks;
    flags.ends_behind_column((end_x < grid.width ? end_x : grid.width) - 1 - p.x);
    flags.ends_behind_row((end_y < grid.height ? end_y : grid.height) - 1 - p.y);
    return flags;
  }

  FLOWKIT_DEVICE void load(int pair, bool median, Cell& cell, const CellPlace& p) const {
    load_cell(cell.u, median ? batch.median(pair, 0) : batch.current(pair, kU), grid, p);
    load_cell(cell.v, median ? batch.median(pair, 1) : batch.current(pair, kV), grid, p);
    load_cell(cell.pu_x, batch.current(pair, kPuX), grid, p);
    load_cell(cell.pu_y, batch.current(pair, kPuY), grid, p);
    load_cell(cell.pv_x, batch.current(pair, kPvX), grid, p);
    load_cell(cell.pv_y, batch.current(pair, kPvY), grid, p);
  }

  FLOWKIT_DEVICE void load_constants(int pair, int thread, const Memory& own, const CellPlace& p) const {
    for (int k = 0; k < Config::constants; ++k)
      for (int j = 0; j < kCellRows; ++j)
        own.cells[thread].constants[k][j] = load_four(batch.data(pair, k), grid, p.x, p.y + j);
  }

  FLOWKIT_DEVICE void store(int pair, int state, const Cell& cell, const CellPlace& p) const {
    store_cell(cell.u, batch.variable(pair, state, kU), grid, p);
    store_cell(cell.v, batch.variable(pair, state, kV), grid, p);
    store_cell(cell.pu_x, batch.variable(pair, state, kPuX), grid, p);
    store_cell(cell.pu_y, batch.variable(pair, state, kPuY), grid, p);
    store_cell(cell.pv_x, batch.variable(pair, state, kPvX), grid, p);
    store_cell(cell.pv_y, batch.variable(pair, state, kPvY), grid, p);
  }

  // The duals that the cells to the right and below need.
  template <class Team>
  FLOWKIT_DEVICE void pass_duals(Team& team, int rank, int thread, const Cell& cell) const {
    const Memory memory_here = memory(team, rank);
    const CellFlags flags = memory_here.flags[thread];
    auto& own = memory_here.cells[thread];
    own.dual_column[0] = column_of(cell.pu_x, 3);
    own.dual_column[1] = column_of(cell.pv_x, 3);
    if (!flags.is(CellFlags::kLastRow)) {
      own.dual_row[0] = row_of(cell.pu_y, 3);
      own.dual_row[1] = row_of(cell.pv_y, 3);
    } else if (flags.is(CellFlags::kRankBelow)) {
      auto& next = remote_memory(team, rank + 1).cells[thread];
      next.dual_row[0] = row_of(cell.pu_y, 3);
      next.dual_row[1] = row_of(cell.pv_y, 3);
    }
  }

  // The flow that the cells to the left and above need.
  template <class Team>
  FLOWKIT_DEVICE void pass_flow(Team& team, int rank, int thread, const Cell& cell) const {
    const Memory memory_here = memory(team, rank);
    const CellFlags flags = memory_here.flags[thread];
    memory_here.primal_column(0, thread) = column_of(cell.u, 0);
    memory_here.primal_column(1, thread) = column_of(cell.v, 0);
    if (!flags.is(CellFlags::kFirstRow)) {
      memory_here.cells[thread].primal_row[0] = row_of(cell.u, 0);
      memory_here.cells[thread].primal_row[1] = row_of(cell.v, 0);
    } else if (flags.is(CellFlags::kRankAbove)) {
      auto& next = remote_memory(team, rank - 1).cells[thread];
      next.primal_row[0] = row_of(cell.u, 0);
      next.primal_row[1] = row_of(cell.v, 0);
    }
  }

  FLOWKIT_DEVICE static float divergence_at(float px, float left, float py, float above, bool image_left) {
    const float inner = divergence(px, left, py, above);
    if (Config::rounding == Rounding::fast || !image_left) return inner;
    return divergence_first_column(px, py, above);
  }

  FLOWKIT_DEVICE Vector2<float> data_step_at(const Float4 (&k)[Config::constants], int i, float u, float v) const {
    if constexpr (Config::term == DataTerm::patch) {
      return data_step(PatchStep<float>{k[0].at[i], k[1].at[i], k[2].at[i], k[3].at[i], k[4].at[i]}, u, v);
    } else {
      const Linearised<float> at = {k[0].at[i], k[1].at[i], k[2].at[i], k[3].at[i]};
      const Vector2<float> d = data_step(at, u, v, steps);
      return {u + d.x, v + d.y};
    }
  }

  // The flow of the cell; returns the squared change of its owned pixels.
  FLOWKIT_DEVICE float primal(const Memory& own, int thread, Cell& cell) const {
    const CellFlags flags = own.flags[thread];
    Float4 left_u = {}, left_v = {};
    if (!flags.is(CellFlags::kFirstColumn)) {
      left_u = own.cells[thread - 1].dual_column[0];
      left_v = own.cells[thread - 1].dual_column[1];
    }
    const auto& upper = own.cells[above(thread, flags)];
    const Float4 above_u = upper.dual_row[0], above_v = upper.dual_row[1];
    const bool image_left = flags.is(CellFlags::kImageLeft);
    float changes[4] = {};
    FLOWKIT_UNROLL
    for (int j = 0; j < kCellRows; ++j) {
      Float4 constants[Config::constants];
      FLOWKIT_UNROLL
      for (int k = 0; k < Config::constants; ++k) constants[k] = own.cells[thread].constants[k][j];
      FLOWKIT_UNROLL
      for (int i = 0; i < kCellColumns; ++i) {
        const float u_old = cell.u[j][i], v_old = cell.v[j][i];
        const Vector2<float> moved = data_step_at(constants, i, u_old, v_old);
        const float div_u = divergence_at(cell.pu_x[j][i], i > 0 ? cell.pu_x[j][i - 1] : left_u.at[j], cell.pu_y[j][i],
                                          j > 0 ? cell.pu_y[j - 1][i] : above_u.at[i], i == 0 && image_left);
        const float div_v = divergence_at(cell.pv_x[j][i], i > 0 ? cell.pv_x[j][i - 1] : left_v.at[j], cell.pv_y[j][i],
                                          j > 0 ? cell.pv_y[j - 1][i] : above_v.at[i], i == 0 && image_left);
        const float u = moved.x + steps.theta * div_u, v = moved.y + steps.theta * div_v;
        cell.u[j][i] = u;
        cell.v[j][i] = v;
        if (Config::tested && flags.owns_row(j)) changes[i] += (u - u_old) * (u - u_old) + (v - v_old) * (v - v_old);
      }
    }
    float change = 0.0f;
    FLOWKIT_UNROLL
    for (int i = 0; i < kCellColumns; ++i)
      if (flags.owns_column(i)) change += changes[i];
    return change;
  }

  // Behind the last column and row the flow goes on with the slope of the affine reference.
  FLOWKIT_DEVICE static void continue_flow(CellFlags flags, float (&f)[4][4], float slope_x, float slope_y,
                                           Float4& right, Float4& below) {
    if (flags.column_ends()) {
      FLOWKIT_UNROLL
      for (int j = 0; j < kCellRows; ++j) {
        FLOWKIT_UNROLL
        for (int i = 0; i < 3; ++i)
          if (flags.ends_at_column(i)) f[j][i + 1] = f[j][i] + slope_x;
        if (flags.ends_at_column(3)) right.at[j] = f[j][3] + slope_x;
      }
    }
    if (flags.row_ends()) {
      FLOWKIT_UNROLL
      for (int i = 0; i < kCellColumns; ++i) {
        FLOWKIT_UNROLL
        for (int j = 0; j < 3; ++j)
          if (flags.ends_at_row(j)) f[j + 1][i] = f[j][i] + slope_y;
        if (flags.ends_at_row(3)) below.at[i] = f[3][i] + slope_y;
      }
    }
  }

  FLOWKIT_DEVICE void dual(const Memory& own, int thread, const AffineGradient& affine, Cell& cell) const {
    const CellFlags flags = own.flags[thread];
    const int right = flags.is(CellFlags::kLastColumn) ? thread : thread + 1;
    Float4 right_u = own.primal_column(0, right), right_v = own.primal_column(1, right);
    const auto& lower = own.cells[below(thread, flags)];
    Float4 below_u = lower.primal_row[0], below_v = lower.primal_row[1];
    continue_flow(flags, cell.u, affine.ux, affine.uy, right_u, below_u);
    continue_flow(flags, cell.v, affine.vx, affine.vy, right_v, below_v);
    FLOWKIT_UNROLL
    for (int j = 0; j < kCellRows; ++j) {
      FLOWKIT_UNROLL
      for (int i = 0; i < kCellColumns; ++i) {
        const float u = cell.u[j][i], v = cell.v[j][i];
        Vector2<float> grad_u = {(i < 3 ? cell.u[j][i + 1] : right_u.at[j]) - u,
                                 (j < 3 ? cell.u[j + 1][i] : below_u.at[i]) - u};
        Vector2<float> grad_v = {(i < 3 ? cell.v[j][i + 1] : right_v.at[j]) - v,
                                 (j < 3 ? cell.v[j + 1][i] : below_v.at[i]) - v};
        if constexpr (Config::affine) {
          grad_u = {grad_u.x - affine.ux, grad_u.y - affine.uy};
          grad_v = {grad_v.x - affine.vx, grad_v.y - affine.vy};
        }
        Vector2<float> pu = {cell.pu_x[j][i], cell.pu_y[j][i]}, pv = {cell.pv_x[j][i], cell.pv_y[j][i]};
        if constexpr (Config::rounding == Rounding::fast) {
          dual_step_pair(pu, pv, grad_u, grad_v, steps.dual_step);
        } else {
          pu = dual_step(pu, grad_u, steps.dual_step);
          pv = dual_step(pv, grad_v, steps.dual_step);
        }
        cell.pu_x[j][i] = pu.x;
        cell.pu_y[j][i] = pu.y;
        cell.pv_x[j][i] = pv.x;
        cell.pv_y[j][i] = pv.y;
      }
    }
  }

  // What no rank will pass here: above the first rank there are no duals; below the last one nothing is read for its
  // value.
  FLOWKIT_DEVICE void clear_ring(const Memory& own, int thread, int rank) const {
    const CellFlags flags = own.flags[thread];
    auto& cell = own.cells[thread];
    if (flags.is(CellFlags::kLastRow) && rank == 0) cell.dual_row[0] = cell.dual_row[1] = Float4{};
    if (flags.is(CellFlags::kFirstRow) && rank == plan.ranks - 1) cell.primal_row[0] = cell.primal_row[1] = Float4{};
  }

  // The phase of the primal step; with a test to come, the sums of the squared change of each warp.
  template <class Team, class Cells>
  FLOWKIT_DEVICE void move_flow(Team& team, Cells& cells) const {
    const auto body = [&](int rank, int thread) {
      if (thread >= plan.cells()) return 0.0f;
      Cell& cell = cells(rank, thread);
      const float change = primal(memory(team, rank), thread, cell);
      pass_flow(team, rank, thread, cell);
      return change;
    };
    if constexpr (Config::tested)
      team.for_each(body, [&](int rank, int warp, float sum) { memory(team, rank).warp_sums[warp] = sum; });
    else
      team.for_each(body);
  }

  // One thread of each rank adds up its warps' sums, for all ranks to see, or as a tile's for Decide.
  template <class Team>
  FLOWKIT_DEVICE void sum_warps(Team& team, int rank, int pair, int tile, int iteration) const {
    const float* warps = memory(team, rank).warp_sums;
    double sum = 0.0;
    for (int w = 0; w < plan.threads() / kWarp; ++w) sum += warps[w];
    if (plan.resident)
      for (int r = 0; r < plan.ranks; ++r) remote_memory(team, r).rank_sums[rank] = sum;
    else
      batch.errors[pair * batch.pair_errors + iteration * plan.tiles() + tile] = sum;
  }

  template <class Team>
  FLOWKIT_DEVICE double sum_ranks(Team& team) const {
    const double* sums = memory(team, team.rank()).rank_sums;
    double sum = 0.0;
    for (int r = 0; r < plan.ranks; ++r) sum += sums[r];
    return sum;
  }

  template <class Team>
  FLOWKIT_DEVICE void operator()(Team& team) const {
    const int tile = team.index() % plan.tiles(), pair = team.index() / plan.tiles();
    PairStatus& status = batch.status[pair];
    const int most = status.repeat > 0 ? status.repeat : count;
    if (!status.active || most == 0) return;
    const int target = plan.resident ? status.current : 1 - status.current;
    const bool median = status.repeat > 0 ? status.from_median != 0 : from_median;
    const AffineGradient affine = Config::affine ? status.affine : AffineGradient{};
    typename Team::template PerThread<Cell> cells(team);

    team.for_each([&](int rank, int thread) {
      if (thread >= plan.cells()) return;
      const Memory own = memory(team, rank);
      const CellPlace at = place(tile, rank, thread);
      own.flags[thread] = flags_of(tile, rank, thread, at);
      load(pair, median, cells(rank, thread), at);
      load_constants(pair, thread, own, at);
    });
    team.for_each([&](int rank, int thread) {
      if (thread >= plan.cells()) return;
      clear_ring(memory(team, rank), thread, rank);
      pass_duals(team, rank, thread, cells(rank, thread));
    });

    StopTest test = stop;
    test.resume(status.stop);
    bool stopped = false;
    int done = 0;
    while (done < most && !stopped) {
      move_flow(team, cells);
      team.for_each([&](int rank, int thread) {
        if (Config::tested && thread == 0) sum_warps(team, rank, pair, tile, done);
        if (thread >= plan.cells()) return;
        dual(memory(team, rank), thread, affine, cells(rank, thread));
        pass_duals(team, rank, thread, cells(rank, thread));
      });
      ++done;
      if (Config::tested && plan.resident) stopped = test.done(sum_ranks(team));
    }

    team.for_each([&](int rank, int thread) {
      if (thread < plan.cells()) store(pair, target, cells(rank, thread), place(tile, rank, thread));
      if (!plan.resident || rank != 0 || thread != 0) return;
      status.iterations += done;
      status.stop = test;
      status.active = !stopped;
    });
  }
};

}  // namespace flowkit
