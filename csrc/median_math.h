// The median of 3 x 3 and 5 x 5 values without branches, from windows whose columns are sorted.
//
// Sorting the rows of an array with sorted columns keeps its columns sorted (D. Knuth, TAOCP 3, 5.1.4), and of an array
// sorted both ways only the elements near the anti-diagonal can be the median.
//
// T is float or a SIMD vector of floats; a vector type brings its own `minimum` and `maximum`, declared before this
// header is included.
#pragma once

#include "float_math.h"

namespace flowkit {

template <class T>
FLOWKIT_HD void order(T& a, T& b) {
  const T low = minimum(a, b);
  b = maximum(a, b);
  a = low;
}

template <class T>
FLOWKIT_HD void sort(T (&a)[3]) {
  order(a[0], a[1]);
  order(a[1], a[2]);
  order(a[0], a[1]);
}

template <class T>
FLOWKIT_HD void sort(T (&a)[5]) {
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

template <class T>
FLOWKIT_HD T median_of(T a, T b, T c) {
  return maximum(minimum(a, b), minimum(maximum(a, b), c));
}

// Which end of a row is kept: the smallest values are the largest with the order turned round.
struct Up {
  template <class T>
  static FLOWKIT_HD T low(T a, T b) {
    return minimum(a, b);
  }
  template <class T>
  static FLOWKIT_HD T high(T a, T b) {
    return maximum(a, b);
  }
};
struct Down {
  template <class T>
  static FLOWKIT_HD T low(T a, T b) {
    return maximum(a, b);
  }
  template <class T>
  static FLOWKIT_HD T high(T a, T b) {
    return minimum(a, b);
  }
};

// The last two of four values in ascending order, and of five once the fifth is known.
template <class Order, class T>
struct LastTwo {
  T second, first;

  FLOWKIT_HD LastTwo(T a, T b, T c, T d) {
    const T ab = Order::high(a, b), cd = Order::high(c, d);
    first = Order::high(ab, cd);
    second = Order::high(Order::low(ab, cd), Order::high(Order::low(a, b), Order::low(c, d)));
  }
  FLOWKIT_HD void add(T e) {
    second = Order::high(second, Order::low(first, e));
    first = Order::high(first, e);
  }
};

template <class Order, class T>
struct LastThree {
  T third, second, first;

  FLOWKIT_HD LastThree(T a, T b, T c, T d) {
    const T ab = Order::high(a, b), cd = Order::high(c, d);
    const T lesser = Order::low(ab, cd), greater = Order::high(Order::low(a, b), Order::low(c, d));
    first = Order::high(ab, cd);
    second = Order::high(lesser, greater);
    third = Order::low(lesser, greater);
  }
  FLOWKIT_HD void add(T e) {
    const T rest = Order::low(first, e);
    first = Order::high(first, e);
    third = Order::high(third, Order::low(second, rest));
    second = Order::high(second, rest);
  }
};

// The middle three of five in ascending order. Of four, the middle two are sure to be among them; the third is the
// fifth value, within the bounds that the outer two set.
template <class T>
struct MiddleThree {
  T low, centre, high;

  FLOWKIT_HD MiddleThree(T a, T b, T c, T d) {
    order(a, b);
    order(c, d);
    least_ = minimum(a, c);
    greatest_ = maximum(b, d);
    low = minimum(b, d);
    high = maximum(a, c);
    order(low, high);
  }
  FLOWKIT_HD void add(T e) {
    centre = maximum(least_, minimum(greatest_, e));
    order(low, centre);
    order(centre, high);
  }

 private:
  T least_, greatest_;
};

// Four columns of a 5 x 5 window, which two windows side by side share. Columns are sorted in ascending order.
template <class T>
class FourColumns {
 public:
  FLOWKIT_HD FourColumns(const T (&a)[5], const T (&b)[5], const T (&c)[5], const T (&d)[5])
      : row0_(a[0], b[0], c[0], d[0]),
        row1_(a[1], b[1], c[1], d[1]),
        row2_(a[2], b[2], c[2], d[2]),
        row3_(a[3], b[3], c[3], d[3]),
        row4_(a[4], b[4], c[4], d[4]) {}

  // The median of the window that the fifth column completes; its place among the others does not matter.
  //
  // With the rows sorted, s[r][c] is at least (r+1)(c+1) - 1 others and at most (5-r)(5-c) - 1, so thirteen can be the
  // 13th of 25, and six lie below them, six above. The last network is the shortest that a search found which gives the
  // median of all 252 arrays of zeros and ones that are sorted both ways, and so of every such array (Knuth, 5.3.4, the
  // zero-one principle).
  FLOWKIT_HD T median_with(const T (&e)[5]) const {
    auto row0 = row0_;
    auto row1 = row1_;
    auto row2 = row2_;
    auto row3 = row3_;
    auto row4 = row4_;
    row0.add(e[0]);
    row1.add(e[1]);
    row2.add(e[2]);
    row3.add(e[3]);
    row4.add(e[4]);
    T s31 = row3.second, s13 = row1.second, s40 = row4.first, s04 = row0.first, s22 = row2.centre;
    order(s31, s13);
    order(s40, s04);
    const T a = minimum(minimum(row3.third, row2.high), s04);
    const T b = maximum(s40, maximum(row2.low, row1.third));
    T c = minimum(row4.second, row1.first);
    order(c, s22);
    T d = maximum(c, maximum(row3.first, row0.second));
    T f = maximum(s31, b);
    order(f, d);
    return minimum(maximum(minimum(minimum(s22, s13), a), f), d);
  }

 private:
  LastTwo<Up, T> row0_;
  LastThree<Up, T> row1_;
  MiddleThree<T> row2_;
  LastThree<Down, T> row3_;
  LastTwo<Down, T> row4_;
};

// Of a window of three sorted columns.
template <class T>
FLOWKIT_HD T median_of_columns(const T (&a)[3], const T (&b)[3], const T (&c)[3]) {
  return median_of(maximum(maximum(a[0], b[0]), c[0]), median_of(a[1], b[1], c[1]), minimum(minimum(a[2], b[2]), c[2]));
}

}  // namespace flowkit
