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
template <DataTerm term_, Rounding rounding_, bool affine_>
struct IterationConfig {
  static constexpr DataTerm term = term_;
  static constexpr Rounding rounding = rounding_;
  static constexpr bool affine = affine_;  // off: the affine reference is zero
  static constexpr int constants = term == DataTerm::patch ? 5 : 4;
};

template <class Config>
struct Iterate : Program {
  static constexpr int kMostThreads = 512;
  static constexpr bool kClusters = true;
  // Shared memory holds regions of fewer cells before compute capability 9.0 and on consumer GPUs: there a thread may
  // have more registers.
  static constexpr int most_threads(int architecture) {
    const bool large = architecture >= 900 && architecture < 1200;
    return large ? kMostThreads : (architecture == 800 ? 384 : 256);
  }
  // What a team does in this launch.
  struct Task {
    int pair, tile;
    int target;   // the state to write
    bool median;  // u and v come from the median's planes
    AffineGradient affine;
  };
  using Memory = RegionMemory<Config::constants>;
  using View = CellView<Config::constants>;

  Batch batch;
  Grid grid;
  IterationPlan plan;
  StepSizes steps;
  StopTest stop;
  bool tested;       // off: nothing stops early
  int count;         // iterations of this launch, for pairs that have none to repeat
  bool from_median;  // u and v come from the median's planes

  Iterate(const Batch& batch, Grid grid, const IterationPlan& plan, const StepSizes& steps, const StopTest& stop,
          bool tested, int count, bool from_median)
      : batch(batch),
        grid(grid),
        plan(plan),
        steps(steps),
        stop(stop),
        tested(tested),
        count(count),
        from_median(from_median) {}
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

  FLOWKIT_DEVICE void load(const Task& task, const View& cell, const CellPlace& p) const {
    FLOWKIT_UNROLL
    for (int which = 0; which < kVariables; ++which) {
      if (!opaque(plan.columns)) continue;
      const bool filtered = task.median && which <= kV;
      const float* plane = filtered ? batch.median(task.pair, which) : batch.current(task.pair, which);
      FLOWKIT_UNROLL
      for (int j = 0; j < kCellRows; ++j) {
        const Float4 row = load_four(plane, grid, p.x, p.y + j);
        FLOWKIT_UNROLL
        for (int i = 0; i < kCellColumns; ++i) cell.variable(which, j, i) = row.at[i];
      }
    }
  }

  // A cell's record before the first iteration.
  FLOWKIT_DEVICE void prepare(const Memory& own, const Task& task, int rank, int thread) const {
    const CellPlace p = place_of(plan, grid, task.tile, rank, thread);
    CellFlags flags = flags_of(plan, grid, task.tile, rank, thread, p);
    // Nobody asks for the change of pixels that no one owns.
    if (tested) flags.own(p.left - p.x, p.right - p.x, p.top - p.y, p.bottom - p.y);
    own.flags[thread] = flags;
    auto& cell = own.cells[thread];
    for (int j = 0; j < kCellRows; ++j) {
      CellConstants<Config::constants> row;
      FLOWKIT_UNROLL
      for (int k = 0; k < Config::constants; ++k) row.set(k, load_four(batch.data(task.pair, k), grid, p.x, p.y + j));
      cell.constants[j] = row;
    }
    // What no rank will pass here: above the first rank there are no duals; below the last one nothing is read for its
    // value.
    if (flags.is(CellFlags::kLastRow) && rank == 0) cell.dual_row[0] = cell.dual_row[1] = Float4{};
    if (flags.is(CellFlags::kFirstRow) && rank == plan.ranks - 1) cell.primal_row[0] = cell.primal_row[1] = Float4{};
  }

  FLOWKIT_DEVICE void store(const Task& task, const View& cell, const CellPlace& p) const {
    FLOWKIT_UNROLL
    for (int which = 0; which < kVariables; ++which) {
      if (!opaque(plan.columns)) continue;
      FLOWKIT_UNROLL
      for (int j = 0; j < kCellRows; ++j) {
        Float4 row;
        FLOWKIT_UNROLL
        for (int i = 0; i < kCellColumns; ++i) row.at[i] = cell.variable(which, j, i);
        store_four(row, batch.variable(task.pair, task.target, which), grid, p, p.y + j);
      }
    }
  }

  // The duals that the cells below need; those for the right are in the record already.
  template <class Team>
  FLOWKIT_DEVICE void pass_duals(Team& team, int rank, const View& cell) const {
    const CellFlags flags = cell.memory.flags[cell.thread];
    const bool here = !flags.is(CellFlags::kLastRow);
    if (!here && !flags.is(CellFlags::kRankBelow)) return;
    Float4* to = (here ? cell.memory : remote_memory(team, rank + 1)).cells[cell.thread].dual_row;
    FLOWKIT_UNROLL
    for (int c = 0; c < 2; ++c)
      to[c] = {{cell.dual_y(c, 3, 0), cell.dual_y(c, 3, 1), cell.dual_y(c, 3, 2), cell.dual_y(c, 3, 3)}};
  }

  // The flow that the cells above need.
  template <class Team>
  FLOWKIT_DEVICE void pass_flow(Team& team, int rank, const View& cell) const {
    const CellFlags flags = cell.memory.flags[cell.thread];
    const bool here = !flags.is(CellFlags::kFirstRow);
    if (!here && !flags.is(CellFlags::kRankAbove)) return;
    Float4* to = (here ? cell.memory : remote_memory(team, rank - 1)).cells[cell.thread].primal_row;
    FLOWKIT_UNROLL
    for (int c = 0; c < 2; ++c)
      to[c] = {{cell.flow(c, 0, 0), cell.flow(c, 0, 1), cell.flow(c, 0, 2), cell.flow(c, 0, 3)}};
  }

  FLOWKIT_DEVICE static float divergence_at(float px, float left, float py, float above, bool image_left) {
    const float inner = divergence(px, left, py, above);
    if (Config::rounding == Rounding::fast || !image_left) return inner;
    return divergence_first_column(px, py, above);
  }

  FLOWKIT_DEVICE Vector2<float> data_step_at(const CellConstants<Config::constants>& c, int i, float u, float v) const {
    if constexpr (Config::term == DataTerm::patch) {
      return data_step(PatchStep<float>{c.at(0, i), c.at(1, i), c.at(2, i), c.at(3, i), c.at(4, i)}, u, v);
    } else {
      const Linearised<float> at = {c.at(0, i), c.at(1, i), c.at(2, i), c.at(3, i)};
      const Vector2<float> d = data_step(at, u, v, steps);
      return {u + d.x, v + d.y};
    }
  }

  // The flow of the cell; returns the squared change of its owned pixels.
  //
  // opaque() stands where it does, here and below, because with it the compiler stays within 128 registers without
  // spilling; benchmarks/kernel_resources.py watches that.
  FLOWKIT_DEVICE float primal(const View& cell) const {
    const int thread = cell.thread;
    const CellFlags flags = cell.memory.flags[thread];
    const bool has_left = !flags.is(CellFlags::kFirstColumn), image_left = flags.is(CellFlags::kImageLeft);
    const Float4* left = cell.memory.cells[has_left ? thread - 1 : thread].dual_column;
    const Float4* upper = cell.memory.cells[above(thread, flags)].dual_row;
    float change = 0.0f;
    FLOWKIT_UNROLL
    for (int j = 0; j < kCellRows; ++j) {
      if (!opaque(plan.columns)) continue;
      const CellConstants<Config::constants> constants = cell.memory.cells[thread].constants[j];
      FLOWKIT_UNROLL
      for (int i = 0; i < kCellColumns; ++i) {
        if (Config::term == DataTerm::patch && i % 2 == 0 && !opaque(plan.columns)) continue;
        const Vector2<float> old = {cell.flow(0, j, i), cell.flow(1, j, i)};
        const Vector2<float> moved = data_step_at(constants, i, old.x, old.y);
        float div[2];
        FLOWKIT_UNROLL
        for (int c = 0; c < 2; ++c) {
          const float before = i > 0 ? cell.dual_x(c, j, i - 1) : (has_left ? left[c].at[j] : 0.0f);
          const float over = j > 0 ? cell.dual_y(c, j - 1, i) : upper[c].at[i];
          div[c] = divergence_at(cell.dual_x(c, j, i), before, cell.dual_y(c, j, i), over, i == 0 && image_left);
        }
        const float u = moved.x + steps.theta * div[0], v = moved.y + steps.theta * div[1];
        cell.flow(0, j, i) = u;
        cell.flow(1, j, i) = v;
        if (flags.owns(i, j)) change += (u - old.x) * (u - old.x) + (v - old.y) * (v - old.y);
      }
    }
    return change;
  }

  // Behind the last column (row) the flow goes on with the slope of the affine reference: here what of that is in
  // registers. The first column, which other threads read in this phase, is left to dual().
  FLOWKIT_DEVICE static void continue_flow(const View& cell, const AffineGradient& affine) {
    const CellFlags flags = cell.memory.flags[cell.thread];
    if (!flags.ends()) return;
    FLOWKIT_UNROLL
    for (int c = 0; c < 2; ++c) {
      const float slope_x = c == 0 ? affine.ux : affine.vx, slope_y = c == 0 ? affine.uy : affine.vy;
      FLOWKIT_UNROLL
      for (int k = 0; k < 3; ++k) {
        FLOWKIT_UNROLL
        for (int i = 0; i < 4; ++i) {
          if (flags.ends_at_column(k)) cell.flow(c, i, k + 1) = cell.flow(c, i, k) + slope_x;
          if (flags.ends_at_row(k) && i > 0) cell.flow(c, k + 1, i) = cell.flow(c, k, i) + slope_y;
        }
      }
    }
  }

  FLOWKIT_DEVICE void dual_at(const View& cell, int j, int i, const Vector2<float> (&grad)[2]) const {
    Vector2<float> pu = {cell.dual_x(0, j, i), cell.dual_y(0, j, i)}, pv = {cell.dual_x(1, j, i), cell.dual_y(1, j, i)};
    if constexpr (Config::rounding == Rounding::fast) {
      dual_step_pair(pu, pv, grad[0], grad[1], steps.dual_step);
    } else {
      pu = dual_step(pu, grad[0], steps.dual_step);
      pv = dual_step(pv, grad[1], steps.dual_step);
    }
    cell.dual_x(0, j, i) = pu.x;
    cell.dual_y(0, j, i) = pu.y;
    cell.dual_x(1, j, i) = pv.x;
    cell.dual_y(1, j, i) = pv.y;
  }

  FLOWKIT_DEVICE void dual(const View& cell, const AffineGradient& affine) const {
    const int thread = cell.thread;
    const CellFlags flags = cell.memory.flags[thread];
    const Vector2<float> slope[2] = {{affine.ux, affine.uy}, {affine.vx, affine.vy}};
    const bool column_ends = flags.ends_at_column(3);
    const int right = flags.is(CellFlags::kLastColumn) ? thread : thread + 1;
    const Float4* lower = cell.memory.cells[below(thread, flags)].primal_row;
    FLOWKIT_UNROLL
    for (int j = 0; j < kCellRows; ++j) {
      FLOWKIT_UNROLL
      for (int i = 0; i < kCellColumns; ++i) {
        Vector2<float> grad[2];
        FLOWKIT_UNROLL
        for (int c = 0; c < 2; ++c) {
          const float f = cell.flow(c, j, i), beyond_x = f + slope[c].x, beyond_y = f + slope[c].y;
          const float next =
              i < 3 ? cell.flow(c, j, i + 1) : (column_ends ? beyond_x : cell.memory.primal_column(c, right).at[j]);
          const bool ends_below = (j == 3 || i == 0) && flags.ends_at_row(j);
          const float under = ends_below ? beyond_y : (j < 3 ? cell.flow(c, j + 1, i) : lower[c].at[i]);
          grad[c] = {next - f, under - f};
          if constexpr (Config::affine) grad[c] = {grad[c].x - slope[c].x, grad[c].y - slope[c].y};
        }
        dual_at(cell, j, i, grad);
      }
    }
  }

  // The phase of the primal step, with the sums of the squared change of each warp.
  template <class Team, class Cells>
  FLOWKIT_DEVICE void move_flow(Team& team, Cells& cells) const {
    const auto body = [&](int rank, int thread) {
      if (thread >= plan.cells()) return 0.0f;
      const Memory own = memory(team, rank);
      const View cell = {own, cells(rank, thread), thread};
      const float change = primal(cell);
      pass_flow(team, rank, cell);
      return change;
    };
    team.for_each(body, [&](int rank, int warp, float sum) { memory(team, rank).warp_sums[warp] = sum; });
  }

  // One thread of each rank adds up its warps' sums, for all ranks to see, or as a tile's for Decide.
  template <class Team>
  FLOWKIT_DEVICE void sum_warps(Team& team, int rank, const Task& task, int iteration) const {
    const float* warps = memory(team, rank).warp_sums;
    double sum = 0.0;
    FLOWKIT_NO_UNROLL
    for (int w = 0; w < plan.threads() / kWarp; ++w) sum += warps[w];
    if (!plan.resident) {
      batch.errors[task.pair * batch.pair_errors + iteration * plan.tiles() + task.tile] = sum;
      return;
    }
    FLOWKIT_NO_UNROLL
    for (int r = 0; r < plan.ranks; ++r) remote_memory(team, r).rank_sums[rank] = sum;
  }

  template <class Team>
  FLOWKIT_DEVICE double sum_ranks(Team& team) const {
    const double* sums = memory(team, team.rank()).rank_sums;
    double sum = 0.0;
    FLOWKIT_NO_UNROLL
    for (int r = 0; r < plan.ranks; ++r) sum += sums[r];
    return sum;
  }

  // The phase of the dual step; the warps' sums are added up beside it.
  template <class Team, class Cells>
  FLOWKIT_DEVICE void move_duals(Team& team, Cells& cells, const Task& task, int iteration) const {
    team.for_each([&](int rank, int thread) {
      if (tested && thread == 0) sum_warps(team, rank, task, iteration);
      if (thread >= plan.cells()) return;
      const Memory own = memory(team, rank);
      const View cell = {own, cells(rank, thread), thread};
      continue_flow(cell, task.affine);
      dual(cell, task.affine);
      pass_duals(team, rank, cell);
    });
  }

  // Everything a region needs onto the chip.
  template <class Team, class Cells>
  FLOWKIT_DEVICE void enter(Team& team, Cells& cells, const Task& task) const {
    team.for_each([&](int rank, int thread) {
      if (thread < plan.cells()) prepare(memory(team, rank), task, rank, thread);
    });
    team.for_each([&](int rank, int thread) {
      if (thread >= plan.cells()) return;
      const Memory own = memory(team, rank);
      const View cell = {own, cells(rank, thread), thread};
      load(task, cell, place_of(plan, grid, task.tile, rank, thread));
      pass_duals(team, rank, cell);
    });
  }

  // And back, what it owns.
  template <class Team, class Cells>
  FLOWKIT_DEVICE void leave(Team& team, Cells& cells, const Task& task) const {
    team.for_each([&](int rank, int thread) {
      if (thread >= plan.cells()) return;
      const Memory own = memory(team, rank);
      store(task, View{own, cells(rank, thread), thread}, place_of(plan, grid, task.tile, rank, thread));
    });
  }

  template <class Team>
  FLOWKIT_DEVICE void operator()(Team& team) const {
    const int pair = team.index() / plan.tiles();
    PairStatus& status = batch.status[pair];
    const bool repeats = status.repeat > 0;
    const int most = repeats ? status.repeat : count;
    if (!status.active || most == 0) return;
    const Task task = {pair, team.index() % plan.tiles(), plan.resident ? status.current : 1 - status.current,
                       repeats ? status.from_median != 0 : from_median,
                       Config::affine ? status.affine : AffineGradient{}};
    typename Team::template PerThread<Cell> cells(team);
    enter(team, cells, task);
    StopTest test = stop;
    test.resume(status.stop);
    bool stopped = false;
    int done = 0;
    while (done < most && !stopped) {
      move_flow(team, cells);
      move_duals(team, cells, task, done++);
      if (tested && plan.resident) stopped = test.done(sum_ranks(team));
    }
    leave(team, cells, task);
    if (!plan.resident) return;  // Decide says what became of the pair
    team.for_each([&](int rank, int thread) {
      if (rank != 0 || thread != 0) return;
      status.iterations += done;
      status.stop = test;
      status.active = !stopped;
    });
  }
};

}  // namespace flowkit
