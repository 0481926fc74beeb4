// The 3 x 3 and 5 x 5 median of u and v without branches, four neighbouring pixels a thread.
//
// Neighbouring windows share columns: each column is sorted once a thread. Sorting the rows of a window of sorted
// columns keeps the columns sorted (D. Knuth, TAOCP 3, 5.1.4), and of an array sorted both ways only the elements near
// the anti-diagonal can be the median. The networks are those of csrc/cpu/kernels/median.inl.
#pragma once

#include "warp.h"

namespace flowkit {

FLOWKIT_DEVICE void order(float& a, float& b) {
  const float low = fminf(a, b);
  b = fmaxf(a, b);
  a = low;
}

FLOWKIT_DEVICE void sort(float (&a)[3]) {
  order(a[0], a[1]);
  order(a[1], a[2]);
  order(a[0], a[1]);
}

FLOWKIT_DEVICE void sort(float (&a)[5]) {
  order(a[0], a[1]);
  order(a[3], a[4]);
  order(a[2], a[4]);
  order(a[2], a[3]);
  order(a[0], a[3]);
  order(a[0], a[2]);
  order(a[1], a[4]);
  order(a[1], a[3]);
  order(a[1], a[2]);
}

FLOWKIT_DEVICE float median3(float a, float b, float c) { return fmaxf(fminf(a, b), fminf(fmaxf(a, b), c)); }

// The smallest of n to the front, the largest to the back.
template <int n>
FLOWKIT_DEVICE void extremes(float* a) {
  FLOWKIT_UNROLL
  for (int i = 0; i < n / 2; ++i) order(a[i], a[n - 1 - i]);
  FLOWKIT_UNROLL
  for (int i = 1; i < (n + 1) / 2; ++i) order(a[0], a[i]);
  FLOWKIT_UNROLL
  for (int i = n / 2; i < n - 1; ++i) order(a[i], a[n - 1]);
}

// The median of 13: an element that six others exceed, or that exceeds six others, among 8 of 13 cannot be it and is
// forgotten.
FLOWKIT_DEVICE float median13(float (&a)[13]) {
  extremes<8>(a);
  a[7] = a[8];
  extremes<7>(a + 1);
  a[7] = a[9];
  extremes<6>(a + 2);
  a[7] = a[10];
  extremes<5>(a + 3);
  a[7] = a[11];
  extremes<4>(a + 4);
  return median3(a[5], a[6], a[12]);
}

// s[r][c]: the r-th smallest of the window's column c.
FLOWKIT_DEVICE float median_of_sorted(float (&s)[5][5]) {
  FLOWKIT_UNROLL
  for (int r = 0; r < 5; ++r) sort(s[r]);
  // (r, c) is at least (r+1)(c+1) - 1 others and at most (5-r)(5-c) - 1: these 13 can be the 13th of 25; six lie below,
  // six above.
  float candidates[13] = {s[0][3], s[0][4], s[1][2], s[1][3], s[1][4], s[2][1], s[2][2],
                          s[2][3], s[3][0], s[3][1], s[3][2], s[4][0], s[4][1]};
  return median13(candidates);
}

FLOWKIT_DEVICE float median_of_sorted(float (&s)[3][3]) {
  return median3(fmaxf(fmaxf(s[0][0], s[0][1]), s[0][2]), median3(s[1][0], s[1][1], s[1][2]),
                 fminf(fminf(s[2][0], s[2][1]), s[2][2]));
}

// The median of the current u (item 0) or v (item 1) into the median's planes. `x` counts groups of four pixels.
template <int size>
struct Median {
  static constexpr int kGroup = 4;
  Batch batch;
  Grid grid;

  FLOWKIT_DEVICE void operator()(int pair, int item, int x, int y) const {
    const PairStatus& status = batch.status[pair];
    if (!status.active || status.repeat > 0) return;
    constexpr int reach = size / 2, columns = kGroup + 2 * reach;
    const float* in = batch.current(pair, item);
    float sorted[columns][size];
    FLOWKIT_UNROLL
    for (int c = 0; c < columns; ++c) {
      FLOWKIT_UNROLL
      for (int r = 0; r < size; ++r)
        sorted[c][r] =
            in[clamp_index(y + r - reach, grid.height) * grid.stride + clamp_index(x * kGroup + c - reach, grid.width)];
      sort(sorted[c]);
    }
    float* out = batch.median(pair, item) + y * grid.stride + x * kGroup;
    FLOWKIT_UNROLL
    for (int i = 0; i < kGroup; ++i) {
      float window[size][size];
      FLOWKIT_UNROLL
      for (int r = 0; r < size; ++r) {
        FLOWKIT_UNROLL
        for (int c = 0; c < size; ++c) window[r][c] = sorted[i + c][r];
      }
      if (x * kGroup + i < grid.width) out[i] = median_of_sorted(window);
    }
  }
};

}  // namespace flowkit
