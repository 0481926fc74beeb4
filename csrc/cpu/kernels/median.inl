// The 3 x 3 and 5 x 5 median, one pixel a lane (csrc/median_math.h). Neighbouring windows share columns: each column of
// a window is sorted once.

#include "../../median_math.h"

namespace flowkit::FLOWKIT_SIMD {

// Sorts the window's columns around one row: sorted[r] + x gets the r-th smallest of column x, from two columns before
// the row to two behind.
template <int size>
inline void sort_columns(const float* const* rows, int width, float* const* sorted) {
  for (int x = -kLanes; x < width + 2; x += kLanes) {
    Vec column[size];
    for (int r = 0; r < size; ++r) column[r] = load(rows[r] + x);
    sort(column);
    for (int r = 0; r < size; ++r) store(sorted[r] + x, column[r]);
  }
}

// The medians of one row from its sorted columns.
template <int size>
inline void median_row(float* const* sorted, int width, float* out) {
  for (int x = 0; x < width; x += kLanes) {
    Vec columns[size][size];
    for (int c = 0; c < size; ++c)
      for (int r = 0; r < size; ++r) columns[c][r] = load(sorted[r] + x + c - size / 2);
    if constexpr (size == 5)
      store(out + x, FourColumns<Vec>(columns[0], columns[1], columns[2], columns[3]).median_with(columns[4]));
    else
      store(out + x, median_of_columns(columns[0], columns[1], columns[2]));
  }
}

template <int size>
inline void median_plane(Grid g, float* plane, float* const* scratch) {
  constexpr int reach = size / 2;
  for (int y = 0; y < g.height; ++y) {
    float* row = plane + y * g.stride;
    for (int k = 1; k <= reach; ++k) {
      row[-k] = row[0];
      row[g.width - 1 + k] = row[g.width - 1];
    }
  }
  // The rows above have their medians already: the last two are kept as they were.
  float* const* kept = scratch + 5;
  for (int y = 0; y < g.height; ++y) {
    const float* rows[size];
    for (int r = 0; r < size; ++r) {
      const int at = clamp_index(y + r - reach, g.height);
      rows[r] = at < y ? kept[at % 2] : plane + at * g.stride;
    }
    sort_columns<size>(rows, g.width, scratch);
    float* row = plane + y * g.stride;
    __builtin_memcpy(kept[y % 2] - kRowPadding, row - kRowPadding, sizeof(float) * (g.stride + kRowPadding));
    median_row<size>(scratch, g.width, row);
  }
}

static void median(Grid g, float* plane, int size, float* const* rows) {
  if (size == 5)
    median_plane<5>(g, plane, rows);
  else
    median_plane<3>(g, plane, rows);
}

}  // namespace flowkit::FLOWKIT_SIMD
