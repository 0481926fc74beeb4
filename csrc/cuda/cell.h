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

  // The columns (rows) of the cell that its region owns: first <= i < end.
  FLOWKIT_HD void own_columns(int first, int end) { bits_ |= mask(first, end) << 8; }
  FLOWKIT_HD void own_rows(int first, int end) { bits_ |= mask(first, end) << 12; }
  FLOWKIT_HD bool owns_column(int i) const { return (bits_ >> (8 + i) & 1u) != 0; }
  FLOWKIT_HD bool owns_row(int j) const { return (bits_ >> (12 + j) & 1u) != 0; }

  // The flow ends behind this column (row) of the cell, if that is one of the cell's.
  FLOWKIT_HD void ends_behind_column(int i) { bits_ |= mask(i, i + 1) << 16; }
  FLOWKIT_HD void ends_behind_row(int j) { bits_ |= mask(j, j + 1) << 20; }
  FLOWKIT_HD bool column_ends() const { return (bits_ & 0xfu << 16) != 0; }
  FLOWKIT_HD bool row_ends() const { return (bits_ & 0xfu << 20) != 0; }
  FLOWKIT_HD bool ends_at_column(int i) const { return (bits_ >> (16 + i) & 1u) != 0; }
  FLOWKIT_HD bool ends_at_row(int j) const { return (bits_ >> (20 + j) & 1u) != 0; }

 private:
  FLOWKIT_HD static unsigned mask(int first, int end) {
    unsigned bits = 0;
    for (int i = 0; i < 4; ++i) bits |= i >= first && i < end ? 1u << i : 0u;
    return bits;
  }

  unsigned bits_ = 0;
};

// The variables of a cell, [row][column].
struct Cell {
  float u[4][4], v[4][4];
  float pu_x[4][4], pu_y[4][4], pv_x[4][4], pv_y[4][4];
};

// A cell's part of its rank's shared memory: its constants, and its edges for the neighbours to read; index 0 for u, 1
// for v. An odd number of Float4, so that eight neighbouring threads read the same member from all 32 banks; for that
// one edge stands apart.
template <int constants_>
struct CellRecord {
  Float4 constants[constants_][4];
  Float4 dual_row[2];       // last row of the dual along y
  Float4 dual_column[2];    // last column of the dual along x
  Float4 primal_row[2];     // first row of the flow
  Float4 primal_column[1];  // first column of the flow; v's is in RegionMemory
};

// The shared memory of a rank.
//
// The rows of edges form a ring: nobody in the region reads the last row's duals or the first row's flow, so in their
// place stand those that the ranks above and below have passed here, or zeros.
template <int constants>
struct RegionMemory {
  using Record = CellRecord<constants>;
  static_assert(sizeof(Record) / sizeof(Float4) % 2 == 1);

  double* rank_sums;  // of every rank, in every rank's memory
  float* warp_sums;   // of this rank
  Record* cells;
  Float4* v_columns;
  CellFlags* flags;

  FLOWKIT_DEVICE RegionMemory(Float4* base, int count) {
    rank_sums = reinterpret_cast<double*>(base);
    warp_sums = reinterpret_cast<float*>(rank_sums + kMostRanks);
    cells = reinterpret_cast<Record*>(base + kSumBytes / sizeof(Float4));
    v_columns = reinterpret_cast<Float4*>(cells + count);
    flags = reinterpret_cast<CellFlags*>(v_columns + count);
  }
  FLOWKIT_DEVICE Float4& primal_column(int component, int cell) const {
    return component == 0 ? cells[cell].primal_column[0] : v_columns[cell];
  }
};
static_assert(kSumBytes % sizeof(Float4) == 0, "the records behind the sums are aligned");

FLOWKIT_DEVICE Float4 row_of(const float (&cell)[4][4], int j) {
  return {{cell[j][0], cell[j][1], cell[j][2], cell[j][3]}};
}
FLOWKIT_DEVICE Float4 column_of(const float (&cell)[4][4], int i) {
  return {{cell[0][i], cell[1][i], cell[2][i], cell[3][i]}};
}

// Four pixels of a plane, 0 where they are not in the image.
FLOWKIT_DEVICE Float4 load_four(const float* plane, const Grid& grid, int x, int y) {
  if (x >= grid.width || y >= grid.height) return Float4{};
  Float4 four = *reinterpret_cast<const Float4*>(plane + y * grid.stride + x);
  FLOWKIT_UNROLL
  for (int i = 1; i < 4; ++i)
    if (x + i >= grid.width) four.at[i] = 0.0f;
  return four;
}

FLOWKIT_DEVICE void load_cell(float (&to)[4][4], const float* plane, const Grid& grid, const CellPlace& p) {
  FLOWKIT_UNROLL
  for (int j = 0; j < 4; ++j) {
    const Float4 four = load_four(plane, grid, p.x, p.y + j);
    FLOWKIT_UNROLL
    for (int i = 0; i < 4; ++i) to[j][i] = four.at[i];
  }
}

// Only what the region owns.
FLOWKIT_DEVICE void store_cell(const float (&from)[4][4], float* plane, const Grid& grid, const CellPlace& p) {
  const bool whole = p.x >= p.left && p.x + 4 <= p.right;
  FLOWKIT_UNROLL
  for (int j = 0; j < 4; ++j) {
    if (p.y + j < p.top || p.y + j >= p.bottom) continue;
    float* to = plane + (p.y + j) * grid.stride + p.x;
    if (whole) *reinterpret_cast<Float4*>(to) = row_of(from, j);
    FLOWKIT_UNROLL
    for (int i = 0; i < 4; ++i)
      if (!whole && p.x + i >= p.left && p.x + i < p.right) to[i] = from[j][i];
  }
}

}  // namespace flowkit
