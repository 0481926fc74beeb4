// The 3 x 3 and 5 x 5 median, one pixel a lane, without branches.
//
// Neighbouring windows share columns: each column of the window is sorted once. Sorting the rows of that
// array keeps its columns sorted (D. Knuth, TAOCP 3, 5.1.4), and of an array sorted both ways only the elements near
// the anti-diagonal can be the median.

namespace flowkit::FLOWKIT_SIMD {

FLOWKIT_HD void order(Vec& a, Vec& b) {
  const Vec low = minimum(a, b);
  b = maximum(a, b);
  a = low;
}

FLOWKIT_HD void sort3(Vec& a, Vec& b, Vec& c) {
  order(a, b);
  order(b, c);
  order(a, b);
}

FLOWKIT_HD void sort5(Vec* a) {
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

FLOWKIT_HD Vec median3(Vec a, Vec b, Vec c) { return maximum(minimum(a, b), minimum(maximum(a, b), c)); }

// The smallest of n to the front, the largest to the back.
template <int n>
FLOWKIT_HD void extremes(Vec* a) {
  for (int i = 0; i < n / 2; ++i) order(a[i], a[n - 1 - i]);
  for (int i = 1; i < (n + 1) / 2; ++i) order(a[0], a[i]);
  for (int i = n / 2; i < n - 1; ++i) order(a[i], a[n - 1]);
}

// The median of 13: an element that six others exceed, or that exceeds six others, among 8 of 13 cannot be it and is
// forgotten.
FLOWKIT_HD Vec median13(Vec* a) {
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
FLOWKIT_HD Vec median5x5(Vec s[5][5]) {
  for (int r = 0; r < 5; ++r) sort5(s[r]);
  // (r, c) is at least (r+1)(c+1) - 1 others and at most (5-r)(5-c) - 1: these 13 can be the 13th of 25; six lie below,
  // six above.
  Vec candidates[13] = {s[0][3], s[0][4], s[1][2], s[1][3], s[1][4], s[2][1], s[2][2],
                        s[2][3], s[3][0], s[3][1], s[3][2], s[4][0], s[4][1]};
  return median13(candidates);
}

FLOWKIT_HD Vec median3x3(Vec s[3][3]) {
  return median3(maximum(maximum(s[0][0], s[0][1]), s[0][2]), median3(s[1][0], s[1][1], s[1][2]),
                 minimum(minimum(s[2][0], s[2][1]), s[2][2]));
}

// Sorts the window's columns around row y: sorted[r] + x gets the r-th smallest of column x, from two columns before
// the row to two behind.
template <int size>
inline void sort_columns(const float* const* rows, int width, float* const* sorted) {
  for (int x = -kLanes; x < width + 2; x += kLanes) {
    Vec column[5];
    for (int r = 0; r < size; ++r) column[r] = load(rows[r] + x);
    if constexpr (size == 5)
      sort5(column);
    else
      sort3(column[0], column[1], column[2]);
    for (int r = 0; r < size; ++r) store(sorted[r] + x, column[r]);
  }
}

template <int size>
inline void median_plane(Grid g, float* in, float* out, float* const* sorted) {
  constexpr int reach = size / 2;
  for (int y = 0; y < g.height; ++y) {
    float* row = in + y * g.stride;
    for (int k = 1; k <= reach; ++k) {
      row[-k] = row[0];
      row[g.width - 1 + k] = row[g.width - 1];
    }
  }
  for (int y = 0; y < g.height; ++y) {
    const float* rows[size];
    for (int r = 0; r < size; ++r) {
      const int at = y + r - reach;
      rows[r] = in + (at < 0 ? 0 : (at < g.height ? at : g.height - 1)) * g.stride;
    }
    sort_columns<size>(rows, g.width, sorted);
    for (int x = 0; x < g.width; x += kLanes) {
      Vec s[size][size];
      for (int r = 0; r < size; ++r)
        for (int c = 0; c < size; ++c) s[r][c] = load(sorted[r] + x + c - reach);
      if constexpr (size == 5)
        store(out + y * g.stride + x, median5x5(s));
      else
        store(out + y * g.stride + x, median3x3(s));
    }
  }
}

static void median(Grid g, float* in, float* out, int size, float* const* sorted) {
  if (size == 5)
    median_plane<5>(g, in, out, sorted);
  else
    median_plane<3>(g, in, out, sorted);
}

}  // namespace flowkit::FLOWKIT_SIMD
