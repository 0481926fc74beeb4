// The 3 x 3 and 5 x 5 median of u and v (csrc/median_math.h), four neighbouring pixels a thread: windows share columns,
// which are sorted once, and two windows side by side share four of their five.
#pragma once

#include "../median_math.h"
#include "frames.h"

namespace flowkit {

constexpr int kMedianGroup = 4;

// The pixels x - reach to x + 3 + reach of a row into element r of as many columns; beyond the image the nearest pixel.
template <int count, int size>
FLOWKIT_DEVICE void load_row(const float* row, const LevelGrid& grid, int x, int r, float (&columns)[count][size]) {
  constexpr int reach = size / 2;
  const auto four = [&](int at) { return *reinterpret_cast<const Float4*>(row + at); };
  const Float4 centre = four(x), left = four(x > 0 ? x - 4 : x), right = four(x + 4 < grid.width ? x + 4 : x);
  FLOWKIT_UNROLL
  for (int i = 0; i < reach; ++i) columns[i][r] = x > 0 ? left.at[4 - reach + i] : centre.at[0];
  FLOWKIT_UNROLL
  for (int i = 0; i < kMedianGroup + reach; ++i) {
    const float value = i < kMedianGroup ? centre.at[i] : right.at[i - kMedianGroup];
    columns[reach + i][r] = i == 0 || x + i < grid.width ? value : columns[reach + i - 1][r];
  }
}

FLOWKIT_DEVICE void medians(float (&columns)[6][3], float (&out)[kMedianGroup]) {
  FLOWKIT_UNROLL
  for (int i = 0; i < kMedianGroup; ++i) out[i] = median_of_columns(columns[i], columns[i + 1], columns[i + 2]);
}

FLOWKIT_DEVICE void medians(float (&columns)[8][5], float (&out)[kMedianGroup]) {
  FLOWKIT_UNROLL
  for (int i = 0; i < kMedianGroup; i += 2) {
    const FourColumns<float> shared(columns[i + 1], columns[i + 2], columns[i + 3], columns[i + 4]);
    out[i] = shared.median_with(columns[i]);
    out[i + 1] = shared.median_with(columns[i + 5]);
  }
}

// The medians of a plane's pixels x to x + 3 of row y; some of them may lie between the image and the next row.
template <int size>
FLOWKIT_DEVICE void median_group(const float* in, const LevelGrid& grid, int x, int y, float* out) {
  constexpr int reach = size / 2, count = kMedianGroup + 2 * reach;
  float columns[count][size];
  FLOWKIT_UNROLL
  for (int r = 0; r < size; ++r)
    load_row(in + clamp_index(y + r - reach, grid.height) * grid.stride, grid, x, r, columns);
  FLOWKIT_UNROLL
  for (int c = 0; c < count; ++c) sort(columns[c]);
  Float4 group;
  medians(columns, group.at);
  *reinterpret_cast<Float4*>(out + y * grid.stride + x) = group;
}

// The median of the current u (item 0) or v (item 1) into the median's planes. `x` counts groups of four pixels.
template <int size>
struct Median {
  Batch batch;
  LevelGrid grid;

  FLOWKIT_DEVICE void operator()(int pair, int item, int x, int y) const {
    const PairStatus& status = batch.status[pair];
    if (!status.active || status.repeat > 0) return;
    median_group<size>(batch.current(pair, item), grid, x * kMedianGroup, y, batch.median(pair, item));
  }
};

}  // namespace flowkit
