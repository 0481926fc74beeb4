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

// Of five values, in ascending order: the two largest, the three largest, the three in the middle. The smallest are the
// largest with the order turned round.
struct Up {
  static FLOWKIT_HD Vec low(Vec a, Vec b) { return minimum(a, b); }
  static FLOWKIT_HD Vec high(Vec a, Vec b) { return maximum(a, b); }
};
struct Down {
  static FLOWKIT_HD Vec low(Vec a, Vec b) { return maximum(a, b); }
  static FLOWKIT_HD Vec high(Vec a, Vec b) { return minimum(a, b); }
};

template <class Order>
FLOWKIT_HD void last_two(Vec a, Vec b, Vec c, Vec d, Vec e, Vec& second, Vec& first) {
  const Vec ab = Order::high(a, b), cd = Order::high(c, d), four = Order::high(ab, cd);
  const Vec next = Order::high(Order::low(ab, cd), Order::high(Order::low(a, b), Order::low(c, d)));
  first = Order::high(four, e);
  second = Order::high(next, Order::low(four, e));
}

template <class Order>
FLOWKIT_HD void last_three(Vec a, Vec b, Vec c, Vec d, Vec e, Vec& third, Vec& second, Vec& first) {
  const Vec ab = Order::high(a, b), cd = Order::high(c, d), four = Order::high(ab, cd);
  const Vec lesser = Order::low(ab, cd), greater = Order::high(Order::low(a, b), Order::low(c, d));
  const Vec next = Order::high(lesser, greater), after = Order::low(lesser, greater);
  first = Order::high(four, e);
  const Vec rest = Order::low(four, e);
  second = Order::high(next, rest);
  third = Order::high(after, Order::low(next, rest));
}

FLOWKIT_HD void middle_three(Vec a, Vec b, Vec c, Vec d, Vec e, Vec& low, Vec& centre, Vec& high) {
  order(a, b);
  order(c, d);
  low = minimum(b, d);
  high = maximum(a, c);
  centre = maximum(minimum(a, c), minimum(maximum(b, d), e));
  sort3(low, centre, high);
}

// s[r][c]: the r-th smallest of the window's column c.
//
// With the rows sorted too, s[r][c] is at least (r+1)(c+1) - 1 others and at most (5-r)(5-c) - 1, so thirteen can be
// the 13th of 25, and six lie below them, six above. The last network is the shortest that a search found which gives
// the median of all 252 arrays of zeros and ones that are sorted both ways, and so of every such array (Knuth, 5.3.4,
// the zero-one principle).
FLOWKIT_HD Vec median5x5(const Vec (&s)[5][5]) {
  Vec s03, s04, s12, s13, s14, s21, s22, s23, s30, s31, s32, s40, s41;
  last_two<Up>(s[0][0], s[0][1], s[0][2], s[0][3], s[0][4], s03, s04);
  last_three<Up>(s[1][0], s[1][1], s[1][2], s[1][3], s[1][4], s12, s13, s14);
  middle_three(s[2][0], s[2][1], s[2][2], s[2][3], s[2][4], s21, s22, s23);
  last_three<Down>(s[3][0], s[3][1], s[3][2], s[3][3], s[3][4], s32, s31, s30);
  last_two<Down>(s[4][0], s[4][1], s[4][2], s[4][3], s[4][4], s41, s40);

  order(s31, s13);
  order(s40, s04);
  const Vec a = minimum(minimum(s32, s23), s04);
  const Vec b = maximum(s40, maximum(s21, s12));
  Vec c = minimum(s41, s14);
  order(c, s22);
  Vec d = maximum(c, maximum(s30, s03));
  Vec e = maximum(s31, b);
  order(e, d);
  return minimum(maximum(minimum(minimum(s22, s13), a), e), d);
}

FLOWKIT_HD Vec median3x3(Vec s[3][3]) {
  return median3(maximum(maximum(s[0][0], s[0][1]), s[0][2]), median3(s[1][0], s[1][1], s[1][2]),
                 minimum(minimum(s[2][0], s[2][1]), s[2][2]));
}

// Sorts the window's columns around one row: sorted[r] + x gets the r-th smallest of column x, from two columns before
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

// The medians of one row from its sorted columns.
template <int size>
inline void median_row(float* const* sorted, int width, float* out) {
  for (int x = 0; x < width; x += kLanes) {
    Vec s[size][size];
    for (int r = 0; r < size; ++r)
      for (int c = 0; c < size; ++c) s[r][c] = load(sorted[r] + x + c - size / 2);
    if constexpr (size == 5)
      store(out + x, median5x5(s));
    else
      store(out + x, median3x3(s));
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
      const int at = y + r - reach < 0 ? 0 : (y + r - reach < g.height ? y + r - reach : g.height - 1);
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
