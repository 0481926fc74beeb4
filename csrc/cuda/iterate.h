// The primal-dual iteration on chip: u, v and the duals of a region in registers, its constants in shared memory.
//
// A thread owns a cell of 4 x rows pixels. Per iteration two phases: the primal step needs the duals left of and above
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

#include "../tvl1_math.h"
#include "batch.h"
#include "iteration_plan.h"

namespace flowkit {

// What of the iteration is fixed at compile time.
template <DataTerm term_, Rounding rounding_, bool affine_, bool tested_, int cell_rows_>
struct IterationConfig {
  static constexpr DataTerm term = term_;
  static constexpr Rounding rounding = rounding_;
  static constexpr bool affine = affine_;  // off: the affine reference is zero
  static constexpr bool tested = tested_;  // off: nothing stops early
  static constexpr int cell_rows = cell_rows_;
  static constexpr int constants = term == DataTerm::patch ? 5 : 4;
};

template <int rows>
struct alignas(rows * sizeof(float)) CellColumn {
  float at[rows];
};

// Where a cell lies in the region and in the image.
struct CellPlace {
  int x, y;                      // its first pixel
  int column, row;               // of its rank's region
  int left, right, top, bottom;  // owned are the pixels left <= x < right, top <= y < bottom
  int last_x, last_y;            // of the image, or of the region where that ends before
};

// A rank's shared memory.
template <class Config>
struct RegionMemory {
  using Column = CellColumn<Config::cell_rows>;
  double* rank_sums;       // of every rank, in every rank's memory
  float* warp_sums;        // of this rank
  Float4* constants;       // [constant][row of the cell][cell]
  Float4* dual_rows[2];    // of the duals of u and v along y: a row of cells above the region, then the region's cells
  Float4* primal_rows[2];  // first rows of u and v: the region's cells, then a row of cells below
  Column* dual_columns[2];
  Column* primal_columns[2];

  FLOWKIT_DEVICE RegionMemory(Float4* base, int cells, int columns) {
    rank_sums = reinterpret_cast<double*>(base);
    warp_sums = reinterpret_cast<float*>(rank_sums + kMostRanks);
    constants = base + kSumBytes / sizeof(Float4);
    Float4* next = constants + Config::constants * Config::cell_rows * cells;
    for (Float4** rows : {&dual_rows[0], &dual_rows[1], &primal_rows[0], &primal_rows[1]}) {
      *rows = next;
      next += cells + columns;
    }
    Column* column = reinterpret_cast<Column*>(next);
    for (Column** edge : {&dual_columns[0], &dual_columns[1], &primal_columns[0], &primal_columns[1]}) {
      *edge = column;
      column += cells;
    }
  }
};
static_assert(kSumBytes % sizeof(Float4) == 0, "the constants behind the sums are aligned");

// A cell's variables and how it lies, as a thread keeps them.
template <int rows>
struct Cell {
  float u[rows][4], v[rows][4];
  float pu_x[rows][4], pu_y[rows][4], pv_x[rows][4], pv_y[rows][4];
  // Columns and rows counted from the cell's first; -1 or beyond the cell where the place in question is not in it.
  int last_column, last_row;
  int own_left, own_right, own_top, own_bottom;
  bool present, first_of_image, leftmost, rightmost, topmost, bottommost;
};

template <class Config>
struct Iterate : Program {
  static constexpr int kMostThreads = 512;
  static constexpr bool kClusters = true;
  static constexpr int kRows = Config::cell_rows;
  using Memory = RegionMemory<Config>;
  using OwnCell = Cell<kRows>;

  Batch batch;
  Grid grid;
  IterationPlan plan;
  StepSizes steps;
  int count;         // iterations of this launch, for pairs that have none to repeat
  bool from_median;  // u and v come from the median's planes

  Iterate(const Batch& batch, Grid grid, const IterationPlan& plan, const StepSizes& steps, int count, bool from_median)
      : batch(batch), grid(grid), plan(plan), steps(steps), count(count), from_median(from_median) {}
  int ranks() const { return plan.ranks; }
  int threads() const { return plan.threads(); }
  std::size_t shared_bytes() const { return plan.shared_bytes(); }
  std::int64_t teams(int pairs) const { return static_cast<std::int64_t>(pairs) * plan.tiles(); }

  template <class Team>
  FLOWKIT_DEVICE Memory memory(Team& team, int rank) const {
    return Memory(team.template shared<Float4>(rank), plan.cells(), plan.columns);
  }
  template <class Team>
  FLOWKIT_DEVICE Memory remote_memory(Team& team, int rank) const {
    return Memory(team.template remote<Float4>(rank), plan.cells(), plan.columns);
  }

  FLOWKIT_DEVICE CellPlace place(int tile, int rank, int thread) const {
    const int tile_x = tile % plan.tiles_x, tile_y = tile / plan.tiles_x;
    const int x0 = tile_x * plan.step_x(), y0 = plan.resident ? 0 : tile_y * plan.step_y();
    const int x1 = x0 + plan.width(), y1 = y0 + plan.height() * plan.ranks;
    CellPlace p;
    p.column = thread % plan.columns;
    p.row = thread / plan.columns;
    p.x = x0 + p.column * kCellColumns;
    p.y = y0 + (rank * plan.rows + p.row) * kRows;
    p.left = tile_x == 0 ? 0 : x0 + plan.halo_x();
    p.top = tile_y == 0 ? 0 : y0 + plan.halo_y();
    p.right = tile_x == plan.tiles_x - 1 ? grid.width : x1 - plan.halo_x();
    p.bottom = tile_y == plan.tiles_y - 1 ? grid.height : y1 - plan.halo_y();
    p.last_x = (x1 < grid.width ? x1 : grid.width) - 1;
    p.last_y = (y1 < grid.height ? y1 : grid.height) - 1;
    return p;
  }

  FLOWKIT_DEVICE void settle(OwnCell& cell, const CellPlace& p, int rank) const {
    cell.last_column = p.last_x - p.x;
    cell.last_row = p.last_y - p.y;
    cell.own_left = p.left - p.x;
    cell.own_right = p.right - p.x;
    cell.own_top = p.top - p.y;
    cell.own_bottom = p.bottom - p.y;
    cell.first_of_image = p.x == 0;
    cell.leftmost = p.column == 0;
    cell.rightmost = p.column == plan.columns - 1;
    cell.topmost = p.row == 0 && rank > 0;
    cell.bottommost = p.row == plan.rows - 1 && rank < plan.ranks - 1;
  }

  // Four pixels of a plane, 0 where they are not in the image.
  FLOWKIT_DEVICE Float4 load_four(const float* plane, int x, int y) const {
    if (x >= grid.width || y >= grid.height) return Float4{};
    Float4 four = *reinterpret_cast<const Float4*>(plane + y * grid.stride + x);
    FLOWKIT_UNROLL
    for (int i = 1; i < 4; ++i)
      if (x + i >= grid.width) four.at[i] = 0.0f;
    return four;
  }

  FLOWKIT_DEVICE void load_variable(float (&to)[kRows][4], const float* plane, const CellPlace& p) const {
    FLOWKIT_UNROLL
    for (int j = 0; j < kRows; ++j) {
      const Float4 four = load_four(plane, p.x, p.y + j);
      FLOWKIT_UNROLL
      for (int i = 0; i < 4; ++i) to[j][i] = four.at[i];
    }
  }

  FLOWKIT_DEVICE void load_cell(int pair, bool median, OwnCell& cell, const CellPlace& p) const {
    load_variable(cell.u, median ? batch.median(pair, 0) : batch.current(pair, kU), p);
    load_variable(cell.v, median ? batch.median(pair, 1) : batch.current(pair, kV), p);
    load_variable(cell.pu_x, batch.current(pair, kPuX), p);
    load_variable(cell.pu_y, batch.current(pair, kPuY), p);
    load_variable(cell.pv_x, batch.current(pair, kPvX), p);
    load_variable(cell.pv_y, batch.current(pair, kPvY), p);
  }

  FLOWKIT_DEVICE void load_constants(int pair, int thread, const Memory& memory, const CellPlace& p) const {
    for (int k = 0; k < Config::constants; ++k)
      for (int j = 0; j < kRows; ++j)
        memory.constants[(k * kRows + j) * plan.cells() + thread] = load_four(batch.data(pair, k), p.x, p.y + j);
  }

  FLOWKIT_DEVICE void store_variable(const float (&from)[kRows][4], float* plane, const CellPlace& p) const {
    const bool whole = p.x >= p.left && p.x + 4 <= p.right;
    FLOWKIT_UNROLL
    for (int j = 0; j < kRows; ++j) {
      if (p.y + j < p.top || p.y + j >= p.bottom) continue;
      float* to = plane + (p.y + j) * grid.stride + p.x;
      if (whole) *reinterpret_cast<Float4*>(to) = {{from[j][0], from[j][1], from[j][2], from[j][3]}};
      FLOWKIT_UNROLL
      for (int i = 0; i < 4; ++i)
        if (!whole && p.x + i >= p.left && p.x + i < p.right) to[i] = from[j][i];
    }
  }

  FLOWKIT_DEVICE void store_cell(int pair, int state, const OwnCell& cell, const CellPlace& p) const {
    store_variable(cell.u, batch.variable(pair, state, kU), p);
    store_variable(cell.v, batch.variable(pair, state, kV), p);
    store_variable(cell.pu_x, batch.variable(pair, state, kPuX), p);
    store_variable(cell.pu_y, batch.variable(pair, state, kPuY), p);
    store_variable(cell.pv_x, batch.variable(pair, state, kPvX), p);
    store_variable(cell.pv_y, batch.variable(pair, state, kPvY), p);
  }

  // The duals that the cells to the right and below need.
  template <class Team>
  FLOWKIT_DEVICE void pass_duals(Team& team, int rank, int thread, const OwnCell& cell) const {
    const Memory own = memory(team, rank);
    for (int c = 0; c < 2; ++c) {
      const auto& along_x = c == 0 ? cell.pu_x : cell.pv_x;
      const auto& along_y = c == 0 ? cell.pu_y : cell.pv_y;
      typename Memory::Column column;
      FLOWKIT_UNROLL
      for (int j = 0; j < kRows; ++j) column.at[j] = along_x[j][3];
      own.dual_columns[c][thread] = column;
      const float* last = along_y[kRows - 1];
      const Float4 row = {{last[0], last[1], last[2], last[3]}};
      own.dual_rows[c][plan.columns + thread] = row;
      if (cell.bottommost) remote_memory(team, rank + 1).dual_rows[c][thread - (plan.rows - 1) * plan.columns] = row;
    }
  }

  // The flow that the cells to the left and above need.
  template <class Team>
  FLOWKIT_DEVICE void pass_flow(Team& team, int rank, int thread, const OwnCell& cell) const {
    const Memory own = memory(team, rank);
    for (int c = 0; c < 2; ++c) {
      const auto& flow = c == 0 ? cell.u : cell.v;
      typename Memory::Column column;
      FLOWKIT_UNROLL
      for (int j = 0; j < kRows; ++j) column.at[j] = flow[j][0];
      own.primal_columns[c][thread] = column;
      const Float4 row = {{flow[0][0], flow[0][1], flow[0][2], flow[0][3]}};
      own.primal_rows[c][thread] = row;
      if (cell.topmost) remote_memory(team, rank - 1).primal_rows[c][plan.cells() + thread] = row;
    }
  }

  FLOWKIT_DEVICE static float divergence_at(float px, float left, float py, float above, bool first_column) {
    const float inner = divergence(px, left, py, above);
    if (Config::rounding == Rounding::fast || !first_column) return inner;
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
  FLOWKIT_DEVICE float primal(const Memory& own, int thread, OwnCell& cell) const {
    typename Memory::Column left_u = {}, left_v = {};
    if (!cell.leftmost) {
      left_u = own.dual_columns[0][thread - 1];
      left_v = own.dual_columns[1][thread - 1];
    }
    const Float4 above_u = own.dual_rows[0][thread], above_v = own.dual_rows[1][thread];
    float changes[4] = {};
    FLOWKIT_UNROLL
    for (int j = 0; j < kRows; ++j) {
      Float4 constants[Config::constants];
      FLOWKIT_UNROLL
      for (int k = 0; k < Config::constants; ++k) constants[k] = own.constants[(k * kRows + j) * plan.cells() + thread];
      const bool owned = Config::tested && j >= cell.own_top && j < cell.own_bottom;
      FLOWKIT_UNROLL
      for (int i = 0; i < 4; ++i) {
        const float u_old = cell.u[j][i], v_old = cell.v[j][i];
        const Vector2<float> moved = data_step_at(constants, i, u_old, v_old);
        const bool first = i == 0 && cell.first_of_image;
        const float div_u = divergence_at(cell.pu_x[j][i], i > 0 ? cell.pu_x[j][i - 1] : left_u.at[j], cell.pu_y[j][i],
                                          j > 0 ? cell.pu_y[j - 1][i] : above_u.at[i], first);
        const float div_v = divergence_at(cell.pv_x[j][i], i > 0 ? cell.pv_x[j][i - 1] : left_v.at[j], cell.pv_y[j][i],
                                          j > 0 ? cell.pv_y[j - 1][i] : above_v.at[i], first);
        const float u = moved.x + steps.theta * div_u, v = moved.y + steps.theta * div_v;
        cell.u[j][i] = u;
        cell.v[j][i] = v;
        if (owned) changes[i] += (u - u_old) * (u - u_old) + (v - v_old) * (v - v_old);
      }
    }
    float change = 0.0f;
    FLOWKIT_UNROLL
    for (int i = 0; i < 4; ++i)
      if (Config::tested && i >= cell.own_left && i < cell.own_right) change += changes[i];
    return change;
  }

  // Behind the last column and row the flow goes on with the slope of the affine reference.
  FLOWKIT_DEVICE static void continue_flow(const OwnCell& cell, float (&f)[kRows][4], float slope_x, float slope_y,
                                           typename Memory::Column& right, Float4& below) {
    if (cell.last_column < 4) {
      FLOWKIT_UNROLL
      for (int j = 0; j < kRows; ++j) {
        FLOWKIT_UNROLL
        for (int i = 0; i < 3; ++i)
          if (i == cell.last_column) f[j][i + 1] = f[j][i] + slope_x;
        if (cell.last_column == 3) right.at[j] = f[j][3] + slope_x;
      }
    }
    if (cell.last_row < kRows) {
      FLOWKIT_UNROLL
      for (int i = 0; i < 4; ++i) {
        FLOWKIT_UNROLL
        for (int j = 0; j < kRows - 1; ++j)
          if (j == cell.last_row) f[j + 1][i] = f[j][i] + slope_y;
        if (cell.last_row == kRows - 1) below.at[i] = f[kRows - 1][i] + slope_y;
      }
    }
  }

  FLOWKIT_DEVICE void dual(const Memory& own, int thread, const AffineGradient& affine, OwnCell& cell) const {
    const int right = cell.rightmost ? thread : thread + 1;
    typename Memory::Column right_u = own.primal_columns[0][right], right_v = own.primal_columns[1][right];
    Float4 below_u = own.primal_rows[0][thread + plan.columns], below_v = own.primal_rows[1][thread + plan.columns];
    continue_flow(cell, cell.u, affine.ux, affine.uy, right_u, below_u);
    continue_flow(cell, cell.v, affine.vx, affine.vy, right_v, below_v);
    FLOWKIT_UNROLL
    for (int j = 0; j < kRows; ++j) {
      FLOWKIT_UNROLL
      for (int i = 0; i < 4; ++i) {
        const float u = cell.u[j][i], v = cell.v[j][i];
        Vector2<float> grad_u = {(i < 3 ? cell.u[j][i + 1] : right_u.at[j]) - u,
                                 (j < kRows - 1 ? cell.u[j + 1][i] : below_u.at[i]) - u};
        Vector2<float> grad_v = {(i < 3 ? cell.v[j][i + 1] : right_v.at[j]) - v,
                                 (j < kRows - 1 ? cell.v[j + 1][i] : below_v.at[i]) - v};
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
    typename Team::template PerThread<OwnCell> cell(team);

    team.for_each([&](int rank, int thread) {
      OwnCell& own = cell(rank, thread);
      own.present = thread < plan.cells();
      if (!own.present) return;
      const CellPlace at = place(tile, rank, thread);
      settle(own, at, rank);
      load_cell(pair, median, own, at);
      load_constants(pair, thread, memory(team, rank), at);
    });
    team.for_each([&](int rank, int thread) {
      if (!cell(rank, thread).present) return;
      // Nothing lies above the first rank's region.
      if (rank == 0 && thread < plan.columns)
        for (int c = 0; c < 2; ++c) memory(team, rank).dual_rows[c][thread] = Float4{};
      pass_duals(team, rank, thread, cell(rank, thread));
    });

    const auto move_flow = [&](int rank, int thread) {
      OwnCell& own = cell(rank, thread);
      if (!own.present) return 0.0f;
      const float change = primal(memory(team, rank), thread, own);
      pass_flow(team, rank, thread, own);
      return change;
    };
    StopTest stop = status.stop;
    bool stopped = false;
    int done = 0;
    while (done < most && !stopped) {
      if constexpr (Config::tested)
        team.for_each(move_flow, [&](int rank, int warp, float sum) { memory(team, rank).warp_sums[warp] = sum; });
      else
        team.for_each(move_flow);
      team.for_each([&](int rank, int thread) {
        if (Config::tested && thread == 0) sum_warps(team, rank, pair, tile, done);
        OwnCell& own = cell(rank, thread);
        if (!own.present) return;
        dual(memory(team, rank), thread, affine, own);
        pass_duals(team, rank, thread, own);
      });
      ++done;
      if (Config::tested && plan.resident) stopped = stop.done(sum_ranks(team));
    }

    team.for_each([&](int rank, int thread) {
      if (cell(rank, thread).present) store_cell(pair, target, cell(rank, thread), place(tile, rank, thread));
      if (!plan.resident || rank != 0 || thread != 0) return;
      status.iterations += done;
      status.stop = stop;
      status.active = !stopped;
    });
  }
};

}  // namespace flowkit
