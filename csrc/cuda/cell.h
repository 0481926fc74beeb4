// What one thread of the iteration keeps: a cell of 4 x 4 pixels, in registers, and its record in shared memory.
#pragma once

#include "../tvl1_math.h"
#include "batch.h"
#include "iteration_plan.h"

namespace flowkit {

// A cell's first pixel, and which of its pixels the region owns: left <= x < right, top <= y < bottom.
struct CellPlace {
  int x, y;
  int left, right, top, bottom;
};

// How a cell lies, in one word. It stands in shared memory and is read in every phase: in a register, compilers would
// take it apart ahead of the loop and keep the parts.
class CellFlags {
 public:
  enum Flag : unsigned {
    kFirstColumn = 1u << 0,  // of cells in the region
    kLastColumn = 1u << 1,
    kFirstRow = 1u << 2,
    kLastRow = 1u << 3,
    kImageLeft = 1u << 4,  // its first pixel is in the image's first column
    kRankAbove = 1u << 5,  // the row above it is another rank's
    kRankBelow = 1u << 6,
  };
  FLOWKIT_HD void set(Flag flag, bool on) { bits_ |= on ? flag : 0u; }
  FLOWKIT_HD bool is(Flag flag) const { return (bits_ & flag) != 0; }

  // The pixels of the cell that its region owns: left <= column < right, top <= row < bottom.
  FLOWKIT_HD void own(int left, int right, int top, int bottom) {
    for (int j = 0; j < 4; ++j)
      if (j >= top && j < bottom) bits_ |= mask(left, right) << (16 + 4 * j);
  }
  FLOWKIT_HD bool owns(int column, int row) const { return (bits_ >> (16 + 4 * row + column) & 1u) != 0; }

  // The flow ends behind this column (row) of the cell, if that is one of the cell's.
  FLOWKIT_HD void ends_behind_column(int i) { bits_ |= mask(i, i + 1) << 8; }
  FLOWKIT_HD void ends_behind_row(int j) { bits_ |= mask(j, j + 1) << 12; }
  FLOWKIT_HD bool ends() const { return (bits_ & 0xffu << 8) != 0; }
  FLOWKIT_HD bool ends_at_column(int i) const { return (bits_ >> (8 + i) & 1u) != 0; }
  FLOWKIT_HD bool ends_at_row(int j) const { return (bits_ >> (12 + j) & 1u) != 0; }

 private:
  FLOWKIT_HD static unsigned mask(int first, int end) {
    unsigned bits = 0;
    for (int i = 0; i < 4; ++i) bits |= i >= first && i < end ? 1u << i : 0u;
    return bits;
  }

  unsigned bits_ = 0;
};

// Of a cell of one rank of the team that has a tile.
FLOWKIT_DEVICE CellPlace place_of(const IterationPlan& plan, const LevelGrid& grid, int tile, int rank, int cell) {
  // Threads that fill up the last warp have cells below the image.
  if (cell >= plan.cells()) return {0, grid.height, 0, 0, 0, 0};
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

// All but the ownership of pixels.
FLOWKIT_DEVICE CellFlags flags_of(const IterationPlan& plan, const LevelGrid& grid, int tile, int rank, int cell,
                                  const CellPlace& p) {
  const int column = cell % plan.columns, row = cell / plan.columns;
  const bool apart = cell >= plan.cells();
  CellFlags flags;
  flags.set(CellFlags::kFirstColumn, apart || column == 0);
  flags.set(CellFlags::kLastColumn, apart || column == plan.columns - 1);
  flags.set(CellFlags::kFirstRow, row == 0);
  flags.set(CellFlags::kLastRow, apart || row == plan.rows - 1);
  flags.set(CellFlags::kImageLeft, p.x == 0);
  flags.set(CellFlags::kRankAbove, row == 0 && rank > 0);
  flags.set(CellFlags::kRankBelow, row == plan.rows - 1 && rank < plan.ranks - 1);
  // Where the image ends, or the region before it.
  const int end_x = tile % plan.tiles_x * plan.step_x() + plan.width();
  const int end_y = tile / plan.tiles_x * plan.step_y() + plan.height() * plan.ranks;
  flags.ends_behind_column((end_x < grid.width ? end_x : grid.width) - 1 - p.x);
  flags.ends_behind_row((end_y < grid.height ? end_y : grid.height) - 1 - p.y);
  return flags;
}

// Of the data term at a pixel: the members of Linearised and the inverse of its square, or the members of PatchStep.
constexpr int kConstants = 5;

// The constants of a row of a cell, those of its first two pixels before those of the others: then few registers hold
// them at a time.
struct CellConstants {
  Float4 four[kConstants];

  // Where constant k of pixel i stands. The last constant has the middle Float4 for all pixels.
  FLOWKIT_HD static constexpr int place(int k, int i) {
    const int half = kConstants / 2, first = i < 2 ? 0 : kConstants - half;
    return k == 2 * half ? 4 * half + i : 4 * (first + k / 2) + 2 * (k % 2) + i % 2;
  }
  FLOWKIT_HD void set(int k, const Float4& row) {
    FLOWKIT_UNROLL
    for (int i = 0; i < 4; ++i) four[place(k, i) / 4].at[place(k, i) % 4] = row.at[i];
  }
  FLOWKIT_HD float at(int k, int i) const { return four[place(k, i) / 4].at[place(k, i) % 4]; }
};

// What the cells of a warp have in shared memory: their constants, how they lie, and their edges for the neighbours to
// read; [0] for u, [1] for v. The lane comes last, so that a warp finds a member of its 32 cells, or of 32 cells that
// follow each other, in all banks of the memory. With a record a warp, a cell's members are at fixed distances from
// each other, however many warps there are.
struct WarpRecord {
  float dual_row[2][kCellColumns][kWarp];    // last row of the dual along y
  float dual_column[2][kCellRows][kWarp];    // last column of the dual along x
  float primal_row[2][kCellColumns][kWarp];  // first row of the flow
  float primal_column[2][kCellRows][kWarp];  // first column of the flow
  CellFlags flags[kWarp];
  Float4 constants[kCellRows][kConstants][kWarp];
};
static_assert(sizeof(WarpRecord) == kWarp * kCellBytes);

// How many bytes behind the first record a cell's record starts, and behind that its lane: for members of four bytes,
// and for those of sixteen.
struct CellStart {
  unsigned words, fours;
};

// Three instructions each; with number % kWarp there would be five.
FLOWKIT_HD CellStart start_of(int thread) {
  const unsigned number = static_cast<unsigned>(thread), warp = number / kWarp;
  constexpr unsigned record = sizeof(WarpRecord), lane_words = sizeof(float), lane_fours = sizeof(Float4);
  return {number * lane_words + warp * (record - kWarp * lane_words),
          number * lane_fours + warp * (record - kWarp * lane_fours)};
}

// A cell's part of its warp's record.
struct CellRecord {
  char *words, *fours;

  FLOWKIT_DEVICE Float4& constant(int j, int k) const {
    return reinterpret_cast<Float4*>(fours + offsetof(WarpRecord, constants))[(j * kConstants + k) * kWarp];
  }
  FLOWKIT_DEVICE CellConstants constants(int j) const {
    CellConstants row;
    FLOWKIT_UNROLL
    for (int k = 0; k < kConstants; ++k) row.four[k] = constant(j, k);
    return row;
  }
  FLOWKIT_DEVICE float& dual_row(int c, int i) const { return edge(offsetof(WarpRecord, dual_row), c, i); }
  FLOWKIT_DEVICE float& dual_column(int c, int j) const { return edge(offsetof(WarpRecord, dual_column), c, j); }
  FLOWKIT_DEVICE float& primal_row(int c, int i) const { return edge(offsetof(WarpRecord, primal_row), c, i); }
  FLOWKIT_DEVICE float& primal_column(int c, int j) const { return edge(offsetof(WarpRecord, primal_column), c, j); }
  FLOWKIT_DEVICE CellFlags& flags() const { return *reinterpret_cast<CellFlags*>(words + offsetof(WarpRecord, flags)); }

 private:
  static_assert(kCellRows == 4 && kCellColumns == 4);
  FLOWKIT_DEVICE float& edge(std::size_t member, int component, int pixel) const {
    return reinterpret_cast<float*>(words + member)[(component * 4 + pixel) * kWarp];
  }
};

// The variables of a cell in registers, [row][column]. The flow's first column and the last column of the duals along x
// are in the cell's record alone: there they have to be for the neighbours, and registers are short.
struct Cell {
  float u[4][3], v[4][3];        // columns 1 to 3
  float pu_x[4][3], pv_x[4][3];  // columns 0 to 2
  float pu_y[4][4], pv_y[4][4];
  CellStart start;
};

// What a team does with a pair or a tile. It stands in shared memory for the same reason.
struct IterationTask {
  int pair, tile;
  int target;   // the state to write
  bool median;  // u and v come from the median's planes
  AffineGradient affine;
};

// The shared memory of a rank.
//
// The rows of edges form a ring: nobody in the region reads the last row's duals or the first row's flow, so in their
// place stand those that the ranks above and below have passed here, or zeros.
struct RegionMemory {
  double* rank_sums;       // of every rank, in every rank's memory
  float* warp_sums;        // of this rank
  StopProgress* progress;  // before the last iteration's test and after it, in turn
  IterationTask* task;
  char* records;  // a WarpRecord a warp

  FLOWKIT_DEVICE explicit RegionMemory(Float4* base) {
    rank_sums = reinterpret_cast<double*>(base);
    warp_sums = reinterpret_cast<float*>(rank_sums + kMostRanks);
    progress = reinterpret_cast<StopProgress*>(warp_sums + kMostWarps);
    task = reinterpret_cast<IterationTask*>(progress + 2);
    records = reinterpret_cast<char*>(base) + kHeaderBytes;
  }
  FLOWKIT_DEVICE CellRecord cell(const CellStart& start) const {
    return {records + start.words, records + start.fours};
  }
  FLOWKIT_DEVICE CellRecord cell(int thread) const { return cell(start_of(thread)); }
};
static_assert(kHeaderBytes % sizeof(Float4) == 0, "the records behind the header are aligned");
static_assert(kHeaderBytes >= kMostRanks * sizeof(double) + kMostWarps * sizeof(float) + 2 * sizeof(StopProgress) +
                                  sizeof(IterationTask));

// Four pixels of a plane, 0 where they are not in the image.
FLOWKIT_DEVICE Float4 load_four(const float* plane, const LevelGrid& grid, int x, int y) {
  if (x >= grid.width || y >= grid.height) return Float4{};
  Float4 four = *reinterpret_cast<const Float4*>(plane + y * grid.wide_stride + x);
  FLOWKIT_UNROLL
  for (int i = 1; i < 4; ++i)
    if (x + i >= grid.width) four.at[i] = 0.0f;
  return four;
}

// Writes the pixels of one row that a region owns.
FLOWKIT_DEVICE void store_four(const Float4& row, float* plane, const LevelGrid& grid, const CellPlace& p, int y) {
  if (y < p.top || y >= p.bottom) return;
  float* to = plane + y * grid.wide_stride + p.x;
  if (p.x >= p.left && p.x + 4 <= p.right) {
    *reinterpret_cast<Float4*>(to) = row;
    return;
  }
  FLOWKIT_UNROLL
  for (int i = 0; i < 4; ++i)
    if (p.x + i >= p.left && p.x + i < p.right) to[i] = row.at[i];
}

// A cell's variables wherever they are: component 0 is u, 1 is v; pixel (i, j) of the cell.
struct CellView {
  const RegionMemory& memory;
  Cell& cell;
  int thread;

  FLOWKIT_DEVICE CellRecord record() const { return memory.cell(cell.start); }
  FLOWKIT_DEVICE float& flow(int component, int j, int i) const {
    if (i == 0) return record().primal_column(component, j);
    return component == 0 ? cell.u[j][i - 1] : cell.v[j][i - 1];
  }
  FLOWKIT_DEVICE float& dual_x(int component, int j, int i) const {
    if (i == 3) return record().dual_column(component, j);
    return component == 0 ? cell.pu_x[j][i] : cell.pv_x[j][i];
  }
  FLOWKIT_DEVICE float& dual_y(int component, int j, int i) const {
    return component == 0 ? cell.pu_y[j][i] : cell.pv_y[j][i];
  }
  // In the order of enum Variable.
  FLOWKIT_DEVICE float& variable(int which, int j, int i) const {
    if (which <= kV) return flow(which - kU, j, i);
    return which == kPuX || which == kPvX ? dual_x((which - kPuX) / 2, j, i) : dual_y((which - kPuX) / 2, j, i);
  }
};

}  // namespace flowkit
