// The primal-dual iteration on chip: u, v and the duals of a region in registers, its constants in shared memory.
//
// A thread owns a cell of 4 x 4 pixels. Per iteration two phases: the primal step needs the duals left of and above
// the cell, the dual step u and v right of and below it; neighbours pass these edges through shared memory, and the
// ranks of a cluster through each other's. Two ways to cover a level (IterationPlan):
//
// *resident*: the team's ranks hold bands of the whole level and run all iterations of a warp, with the medians between
// them and the stop test after each: a warp's sum of squared changes is written before the barrier between the phases,
// added up during the dual step, and read behind the barrier that ends it, so the test waits for nobody.
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
#include "iterate_configs.h"

namespace flowkit {

// What a launch does.
struct IterationWork {
  bool tested;       // off: nothing stops early
  int count;         // iterations, for pairs that have none to repeat
  bool from_median;  // u and v come from the median's planes
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
  Batch batch;
  LevelGrid grid;
  IterationPlan plan;
  StepSizes steps;
  StopTest stop;
  IterationWork work;
  int items;  // a pair or a tile each

  Iterate(const Batch& batch, int pairs, LevelGrid grid, const IterationPlan& plan, const StepSizes& steps,
          const StopTest& stop, const IterationWork& work)
      : batch(batch), grid(grid), plan(plan), steps(steps), stop(stop), work(work), items(pairs * plan.tiles()) {}
  int ranks() const { return plan.ranks; }
  int threads() const { return plan.threads(); }
  std::size_t shared_bytes() const { return plan.shared_bytes(); }

  template <class Team>
  FLOWKIT_DEVICE RegionMemory memory(Team& team, int rank) const {
    return RegionMemory(team.template shared<Float4>(rank));
  }
  template <class Team>
  FLOWKIT_DEVICE RegionMemory remote_memory(Team& team, int rank) const {
    return RegionMemory(team.template remote<Float4>(rank));
  }

  // The same cell's place in the region's next row up or down, as a ring.
  FLOWKIT_DEVICE int above(int cell, CellFlags flags) const {
    return flags.is(CellFlags::kFirstRow) ? cell + (plan.rows - 1) * plan.columns : cell - plan.columns;
  }
  FLOWKIT_DEVICE int below(int cell, CellFlags flags) const {
    return flags.is(CellFlags::kLastRow) ? cell - (plan.rows - 1) * plan.columns : cell + plan.columns;
  }

  FLOWKIT_DEVICE void load(const IterationTask& task, const CellView& cell, const CellPlace& p) const {
    FLOWKIT_UNROLL
    for (int which = 0; which < kVariables; ++which) {
      // One after the other, or registers run short.
      const int height = opaque(plan.columns) ? grid.height : 0;
      const bool filtered = task.median && which <= kV;
      const float* plane = filtered ? batch.median(task.pair, which) : batch.current(task.pair, which);
      FLOWKIT_UNROLL
      for (int j = 0; j < kCellRows; ++j) {
        const Float4 row = p.y + j < height ? load_four(plane, grid, p.x, p.y + j) : Float4{};
        FLOWKIT_UNROLL
        for (int i = 0; i < kCellColumns; ++i) cell.variable(which, j, i) = row.at[i];
      }
    }
  }

  // A cell's record before the first iteration.
  FLOWKIT_DEVICE void prepare(const RegionMemory& own, const IterationTask& task, int rank, int thread) const {
    const CellPlace p = place_of(plan, grid, task.tile, rank, thread);
    CellFlags flags = flags_of(plan, grid, task.tile, rank, thread, p);
    // Nobody asks for the change of pixels that no one owns.
    if (tested()) flags.own(p.left - p.x, p.right - p.x, p.top - p.y, p.bottom - p.y);
    const CellRecord cell = own.cell(thread);
    cell.flags() = flags;
    for (int j = 0; j < kCellRows; ++j) {
      CellConstants row;
      FLOWKIT_UNROLL
      for (int k = 0; k < kConstants; ++k) row.set(k, load_four(batch.data(task.pair, k), grid, p.x, p.y + j));
      FLOWKIT_UNROLL
      for (int k = 0; k < kConstants; ++k) cell.constant(j, k) = row.four[k];
    }
    // What no rank will pass here: above the first rank there are no duals; below the last one nothing is read for its
    // value.
    const bool no_duals = flags.is(CellFlags::kLastRow) && rank == 0;
    const bool no_flow = flags.is(CellFlags::kFirstRow) && rank == plan.ranks - 1;
    for (int c = 0; c < 2; ++c)
      for (int i = 0; i < kCellColumns; ++i) {
        if (no_duals) cell.dual_row(c, i) = 0.0f;
        if (no_flow) cell.primal_row(c, i) = 0.0f;
      }
  }

  FLOWKIT_DEVICE void store(const IterationTask& task, const CellView& cell, const CellPlace& p) const {
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
  FLOWKIT_DEVICE void pass_duals(Team& team, int rank, const CellView& cell) const {
    const CellFlags flags = cell.record().flags();
    const bool here = !flags.is(CellFlags::kLastRow);
    if (!here && !flags.is(CellFlags::kRankBelow)) return;
    const CellRecord to = (here ? cell.memory : remote_memory(team, rank + 1)).cell(cell.cell.start);
    FLOWKIT_UNROLL
    for (int c = 0; c < 2; ++c) {
      FLOWKIT_UNROLL
      for (int i = 0; i < kCellColumns; ++i) to.dual_row(c, i) = cell.dual_y(c, 3, i);
    }
  }

  // The flow that the cells above need.
  template <class Team>
  FLOWKIT_DEVICE void pass_flow(Team& team, int rank, const CellView& cell) const {
    const CellFlags flags = cell.record().flags();
    const bool here = !flags.is(CellFlags::kFirstRow);
    if (!here && !flags.is(CellFlags::kRankAbove)) return;
    const CellRecord to = (here ? cell.memory : remote_memory(team, rank - 1)).cell(cell.cell.start);
    FLOWKIT_UNROLL
    for (int c = 0; c < 2; ++c) {
      FLOWKIT_UNROLL
      for (int i = 0; i < kCellColumns; ++i) to.primal_row(c, i) = cell.flow(c, 0, i);
    }
  }

  FLOWKIT_DEVICE static float divergence_at(float px, float left, float py, float above, bool image_left) {
    const float inner = divergence(px, left, py, above);
    if (Config::rounding == Rounding::fast || !image_left) return inner;
    return divergence_first_column(px, py, above);
  }

  FLOWKIT_DEVICE Vector2<float> data_step_at(const CellConstants& c, int i, float u, float v) const {
    if constexpr (Config::term == DataTerm::patch) {
      return data_step(PatchStep<float>{c.at(0, i), c.at(1, i), c.at(2, i), c.at(3, i), c.at(4, i)}, u, v);
    } else {
      const Linearised<float> at = {c.at(0, i), c.at(1, i), c.at(2, i), c.at(3, i)};
      const Vector2<float> d = data_step(at, c.at(4, i), u, v, steps);
      return {u + d.x, v + d.y};
    }
  }

  // The flow of the cell; returns the squared change of its owned pixels.
  //
  // opaque() stands where it does, here and below, because with it the compiler stays within 128 registers without
  // spilling; benchmarks/kernel_resources.py watches that.
  FLOWKIT_DEVICE float primal(const CellView& cell) const {
    const int thread = cell.thread;
    const CellFlags flags = cell.record().flags();
    const bool has_left = !flags.is(CellFlags::kFirstColumn), image_left = flags.is(CellFlags::kImageLeft);
    const CellRecord left = cell.memory.cell(has_left ? thread - 1 : thread);
    const CellRecord upper = cell.memory.cell(above(thread, flags));
    float change = 0.0f;
    FLOWKIT_UNROLL
    for (int j = 0; j < kCellRows; ++j) {
      if (!opaque(plan.columns)) continue;
      const CellConstants constants = cell.record().constants(j);
      FLOWKIT_UNROLL
      for (int i = 0; i < kCellColumns; ++i) {
        if (i % 2 == 0 && !opaque(plan.columns)) continue;
        const Vector2<float> old = {cell.flow(0, j, i), cell.flow(1, j, i)};
        const Vector2<float> moved = data_step_at(constants, i, old.x, old.y);
        float div[2];
        FLOWKIT_UNROLL
        for (int c = 0; c < 2; ++c) {
          const float before = i > 0 ? cell.dual_x(c, j, i - 1) : (has_left ? left.dual_column(c, j) : 0.0f);
          const float over = j > 0 ? cell.dual_y(c, j - 1, i) : upper.dual_row(c, i);
          div[c] = divergence_at(cell.dual_x(c, j, i), before, cell.dual_y(c, j, i), over, i == 0 && image_left);
        }
        const float u = moved.x + steps.theta * div[0], v = moved.y + steps.theta * div[1];
        cell.flow(0, j, i) = u;
        cell.flow(1, j, i) = v;
        if (Config::may_stop && flags.owns(i, j))
          change = fmaf(u - old.x, u - old.x, fmaf(v - old.y, v - old.y, change));
      }
    }
    return change;
  }

  // Behind the last column (row) the flow goes on with the slope of the affine reference: here what of that is in
  // registers. The first column, which other threads read in this phase, is left to dual().
  FLOWKIT_DEVICE static void continue_flow(const CellView& cell, const AffineGradient& affine) {
    const CellFlags flags = cell.record().flags();
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

  FLOWKIT_DEVICE void dual_at(const CellView& cell, int j, int i, const Vector2<float> (&grad)[2]) const {
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

  FLOWKIT_DEVICE void dual(const CellView& cell, const AffineGradient& affine) const {
    const int thread = cell.thread;
    const CellFlags flags = cell.record().flags();
    const Vector2<float> slope[2] = {{affine.ux, affine.uy}, {affine.vx, affine.vy}};
    const bool column_ends = flags.ends_at_column(3);
    const CellRecord right = cell.memory.cell(flags.is(CellFlags::kLastColumn) ? thread : thread + 1);
    const CellRecord lower = cell.memory.cell(below(thread, flags));
    FLOWKIT_UNROLL
    for (int j = 0; j < kCellRows; ++j) {
      FLOWKIT_UNROLL
      for (int i = 0; i < kCellColumns; ++i) {
        Vector2<float> grad[2];
        FLOWKIT_UNROLL
        for (int c = 0; c < 2; ++c) {
          const float f = cell.flow(c, j, i), beyond_x = f + slope[c].x, beyond_y = f + slope[c].y;
          const float next = i < 3 ? cell.flow(c, j, i + 1) : (column_ends ? beyond_x : right.primal_column(c, j));
          const bool ends_below = (j == 3 || i == 0) && flags.ends_at_row(j);
          const float under = ends_below ? beyond_y : (j < 3 ? cell.flow(c, j + 1, i) : lower.primal_row(c, i));
          grad[c] = {next - f, under - f};
          if constexpr (Config::affine) grad[c] = {grad[c].x - slope[c].x, grad[c].y - slope[c].y};
        }
        dual_at(cell, j, i, grad);
      }
    }
  }

  template <class Team>
  FLOWKIT_DEVICE double sum_ranks(Team& team, int rank) const {
    const double* sums = memory(team, rank).rank_sums;
    double sum = 0.0;
    FLOWKIT_NO_UNROLL
    for (int r = 0; r < plan.ranks; ++r) sum += sums[r];
    return sum;
  }

  FLOWKIT_DEVICE bool tested() const { return Config::may_stop && work.tested; }
  FLOWKIT_DEVICE bool tests_here() const { return tested() && plan.resident; }

  // Whether that iteration was the last of the warp. All threads ask, each on its own; meanwhile the first may be in
  // the next phase already and write down how far the test has come, for which there is a second place.
  template <class Team>
  FLOWKIT_DEVICE bool is_last(Team& team, int iteration) const {
    if (!tests_here()) return false;
    StopProgress progress = memory(team, team.rank()).progress[iteration % 2];
    return stop.done(progress, sum_ranks(team, team.rank()));
  }

  // How far the test has come with that iteration.
  template <class Team>
  FLOWKIT_DEVICE StopProgress after(Team& team, int rank, int iteration) const {
    StopProgress progress = memory(team, rank).progress[iteration % 2];
    if (tests_here()) stop.done(progress, sum_ranks(team, rank));
    return progress;
  }

  // The phase of the primal step, with the sums of the squared change of each warp.
  //
  // Beside it the stop test of the iteration before is brought up to date.
  template <class Team, class Cells>
  FLOWKIT_DEVICE void move_flow(Team& team, Cells& cells, int iteration) const {
    const auto body = [&](int rank, int thread) {
      if (tests_here() && thread == 0 && opaque(iteration))
        memory(team, rank).progress[iteration % 2] = after(team, rank, iteration - 1);
      const RegionMemory own = memory(team, rank);
      const CellView cell = {own, cells(rank, thread), thread};
      const float change = primal(cell);
      pass_flow(team, rank, cell);
      return change;
    };
    if constexpr (Config::may_stop)
      team.for_each(body, [&](int rank, int warp, float sum) { memory(team, rank).warp_sums[warp] = sum; });
    else
      team.for_each(body);
  }

  // One thread of each rank adds up its warps' sums, for all ranks to see, or as a tile's for Decide.
  template <class Team>
  FLOWKIT_DEVICE void sum_warps(Team& team, int rank, int iteration) const {
    const RegionMemory own = memory(team, rank);
    const float* warps = own.warp_sums;
    double sum = 0.0;
    FLOWKIT_NO_UNROLL
    for (int w = 0; w < plan.threads() / kWarp; ++w) sum += warps[w];
    if (!plan.resident) {
      batch.errors[own.task->pair * batch.pair_errors + iteration * plan.tiles() + own.task->tile] = sum;
      return;
    }
    FLOWKIT_NO_UNROLL
    for (int r = 0; r < plan.ranks; ++r) remote_memory(team, r).rank_sums[rank] = sum;
  }

  // The phase of the dual step; the warps' sums are added up beside it.
  template <class Team, class Cells>
  FLOWKIT_DEVICE void move_duals(Team& team, Cells& cells, int iteration) const {
    team.for_each([&](int rank, int thread) {
      if (tested() && thread == 0) sum_warps(team, rank, iteration);
      const RegionMemory own = memory(team, rank);
      const CellView cell = {own, cells(rank, thread), thread};
      const AffineGradient affine = Config::affine ? own.task->affine : AffineGradient{};
      continue_flow(cell, affine);
      dual(cell, affine);
      pass_duals(team, rank, cell);
    });
  }

  // What stays on the chip for all iterations.
  template <class Team>
  FLOWKIT_DEVICE void enter(Team& team, const IterationTask& task) const {
    team.for_each([&](int rank, int thread) {
      const RegionMemory own = memory(team, rank);
      prepare(own, task, rank, thread);
      if (thread != 0) return;
      *own.task = task;
      own.progress[0] = batch.status[task.pair].progress;
    });
  }

  // The region's variables onto the chip.
  template <class Team, class Cells>
  FLOWKIT_DEVICE void read_state(Team& team, Cells& cells) const {
    team.for_each([&](int rank, int thread) {
      const RegionMemory own = memory(team, rank);
      const CellView cell = {own, cells(rank, thread), thread};
      cell.cell.start = start_of(thread);
      cell.cell.start.words = kept(cell.cell.start.words);  // used in every row, where `fours` is not
      load(*own.task, cell, place_of(plan, grid, own.task->tile, rank, thread));
      pass_duals(team, rank, cell);
    });
  }

  // And back, those that it owns. Returns the item.
  template <class Team, class Cells>
  FLOWKIT_DEVICE int write_state(Team& team, Cells& cells) const {
    int item = 0;
    team.for_each([&](int rank, int thread) {
      const RegionMemory own = memory(team, rank);
      const IterationTask& task = *own.task;
      store(task, CellView{own, cells(rank, thread), thread}, place_of(plan, grid, task.tile, rank, thread));
      item = task.pair * plan.tiles() + task.tile;
    });
    return item;
  }

  FLOWKIT_DEVICE int iterations_of(const PairStatus& status) const {
    if (!status.active) return 0;
    return status.repeat > 0 ? status.repeat : work.count;
  }

  // Runs an item's iterations, if there are any. Returns the item, which no register holds meanwhile.
  template <class Team>
  FLOWKIT_DEVICE int run(Team& team, int item) const {
    const int pair = item / plan.tiles();
    const PairStatus& status = batch.status[pair];
    const int iterations = iterations_of(status);
    if (iterations == 0) return item;
    enter(team, {pair, item % plan.tiles(), plan.resident ? status.current : 1 - status.current,
                 status.repeat > 0 ? status.from_median != 0 : work.from_median, status.affine});
    typename Team::template PerThread<Cell> cells(team);
    read_state(team, cells);
    bool stopped = false;
    int done = 0;
    while (done < iterations && !stopped) {
      move_flow(team, cells, done);
      move_duals(team, cells, done);
      stopped = is_last(team, done++);
    }
    const int same = write_state(team, cells);
    if (plan.resident) conclude(team, done, stopped);  // of tiles, Decide says what became of the pair
    return same;
  }

  template <class Team>
  FLOWKIT_DEVICE void conclude(Team& team, int done, bool stopped) const {
    team.for_each([&](int rank, int thread) {
      if (rank != 0 || thread != 0) return;
      PairStatus& status = batch.status[memory(team, rank).task->pair];
      status.iterations += done;
      status.progress = after(team, rank, done - 1);
      status.active = !stopped;
    });
  }

  template <class Team>
  FLOWKIT_DEVICE void operator()(Team& team) const {
    FLOWKIT_NO_UNROLL
    for (int item = team.index(); item < items; item += team.teams()) item = run(team, item);
  }
};

}  // namespace flowkit
