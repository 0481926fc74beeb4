// The primal-dual iteration, fused into one sweep over the rows.
//
// The dual of row y - 1 needs the new flow of rows y - 1 and y, and the primal of row y needs the old duals of rows y
// and y - 1. So one pass that updates the flow of row y and then the duals of row y - 1 is a whole iteration in place.
// For the same reason iteration k + 1 may follow one row behind iteration k, on this thread or another: several
// iterations pass through the cache together, with the same bits as one after the other.

namespace flowkit::FLOWKIT_SIMD {

// Where there are registers for both, the duals follow block by block: their roots and quotients are under way while
// the next flow is loaded and added up. And there neighbours are shifted out of vectors that are loaded anyway, instead
// of loaded across two of them, which may just be on their way to memory.
constexpr bool kManyRegisters = kLanes == 16;

// The pixels to the left of a row's blocks, which are asked for from the left to the right; none is left of the first.
struct LeftNeighbours {
  Vec before = {};

  FLOWKIT_HD Vec of(const float* block, Vec here) {
    if constexpr (!kManyRegisters) return load(block - 1);
    const Vec left = shifted<kLanes - 1>(before, here);
    before = here;
    return left;
  }
};

// A row's blocks from the left to the right, each with the pixels to its right.
struct RightNeighbours {
  Vec ahead;

  FLOWKIT_HD explicit RightNeighbours(const float* row) : ahead(load(row)) {}
  FLOWKIT_HD Vector2<Vec> of(const float* block) {
    if constexpr (!kManyRegisters) return {load(block), load(block + 1)};
    const Vec here = ahead;
    ahead = load(block + kLanes);
    return {here, shifted<1>(here, ahead)};
  }
};

// div p at pixels x .. of the row at `at`; `first` where x is 0.
template <Rounding rounding>
FLOWKIT_HD Vec divergence_at(const float* px, const float* py, const float* py_above, std::ptrdiff_t at, int x,
                             bool first, LeftNeighbours& left) {
  const Vec here = load(px + at + x), below = load(py + at + x), above = load(py_above + x);
  const Vec inner = divergence(here, left.of(px + at + x, here), below, above);
  if (rounding == Rounding::fast || !first) return inner;
  return select(iota() == 0.0f, divergence_first_column(here, below, above), inner);
}

template <DataTerm term>
FLOWKIT_HD Vector2<Vec> data_step_at(IterationPlanes p, StepSizes s, std::ptrdiff_t i, Vec u, Vec v) {
  const auto data = [&](int k) __attribute__((always_inline)) { return load(p.data[k] + i); };
  if constexpr (term == DataTerm::patch) return data_step<Vec>({data(0), data(1), data(2), data(3), data(4)}, u, v);
  const Vector2<Vec> d = data_step<Vec>(Linearised<Vec>{data(0), data(1), data(2), data(3)}, u, v, s);
  return {u + d.x, v + d.y};
}

struct Primal {
  Vec u, v, squared_change;
};

// Updates the flow of pixels x .. x + kLanes - 1 of one row.
template <DataTerm term, Rounding rounding>
FLOWKIT_HD Primal primal(IterationPlanes p, StepSizes s, std::ptrdiff_t at, const float* pu_y_above,
                         const float* pv_y_above, int x, bool first, LeftNeighbours (&left)[2]) {
  const Vec u_old = load(p.u + at + x);
  const Vec v_old = load(p.v + at + x);
  const Vector2<Vec> moved = data_step_at<term>(p, s, at + x, u_old, v_old);
  const Vec u = moved.x + s.theta * divergence_at<rounding>(p.pu_x, p.pu_y, pu_y_above, at, x, first, left[0]);
  const Vec v = moved.y + s.theta * divergence_at<rounding>(p.pv_x, p.pv_y, pv_y_above, at, x, first, left[1]);
  store(p.u + at + x, u);
  store(p.v + at + x, v);
  return {u, v, (u - u_old) * (u - u_old) + (v - v_old) * (v - v_old)};
}

// The duals at pixels i .. of a row, given the flow of the row below it; `affine` where there is an affine reference.
template <Rounding rounding, bool affine>
FLOWKIT_HD void dual(IterationPlanes p, StepSizes s, std::ptrdiff_t i, RightNeighbours (&right)[2], Vec u_below,
                     Vec v_below) {
  const Vector2<Vec> u = right[0].of(p.u + i), v = right[1].of(p.v + i);
  Vector2<Vec> grad_u = {u.y - u.x, u_below - u.x}, grad_v = {v.y - v.x, v_below - v.x};
  if constexpr (affine) {
    grad_u = {grad_u.x - p.affine.ux, grad_u.y - p.affine.uy};
    grad_v = {grad_v.x - p.affine.vx, grad_v.y - p.affine.vy};
  }
  Vector2<Vec> pu = {load(p.pu_x + i), load(p.pu_y + i)}, pv = {load(p.pv_x + i), load(p.pv_y + i)};
  if constexpr (rounding == Rounding::fast) {
    dual_step_pair(pu, pv, grad_u, grad_v, s.dual_step);
  } else {
    pu = dual_step(pu, grad_u, s.dual_step);
    pv = dual_step(pv, grad_v, s.dual_step);
  }
  store(p.pu_x + i, pu.x);
  store(p.pu_y + i, pu.y);
  store(p.pv_x + i, pv.x);
  store(p.pv_y + i, pv.y);
}

// One row of one iteration; row y = height has only the duals of the last row left to do. `error` gets the squared
// change if `tested`, and p.change that of each pixel where it is to be added up in OpenCV's order.
template <DataTerm term, Rounding rounding, bool affine, bool tested>
inline void sweep_row(Grid g, IterationPlanes p, StepSizes s, int y, VecDouble& error) {
  const std::ptrdiff_t at = y * g.stride;
  const std::ptrdiff_t above = at - g.stride;
  RightNeighbours right[] = {RightNeighbours(p.u + (y > 0 ? above : at)), RightNeighbours(p.v + (y > 0 ? above : at))};
  if (y == g.height) {
    for (int x = 0; x < g.width; x += kLanes)
      dual<rounding, affine>(p, s, above + x, right, load(p.u + above + x) + p.affine.uy,
                             load(p.v + above + x) + p.affine.vy);
    return;
  }
  const float* pu_y_above = y > 0 ? p.pu_y + above : p.zero_row;
  const float* pv_y_above = y > 0 ? p.pv_y + above : p.zero_row;
  LeftNeighbours left[2];
  Vec row_error = {};
  const auto block = [&](int x, bool first) __attribute__((always_inline)) {
    const Primal flow = primal<term, rounding>(p, s, at, pu_y_above, pv_y_above, x, first, left);
    if (kManyRegisters && y > 0) dual<rounding, affine>(p, s, above + x, right, flow.u, flow.v);
    if (tested && rounding == Rounding::opencv) store(p.change + at + x, flow.squared_change);
    return flow.squared_change;
  };
  const int whole = g.width / kLanes * kLanes;
  if (whole > 0) row_error = block(0, true);
  for (int x = kLanes; x < whole; x += kLanes) row_error += block(x, false);
  if (whole < g.width)
    row_error += select(iota() < static_cast<float>(g.width - whole), block(whole, whole == 0), Vec{});
  if (!kManyRegisters && y > 0)
    for (int x = 0; x < g.width; x += kLanes)
      dual<rounding, affine>(p, s, above + x, right, load(p.u + at + x), load(p.v + at + x));
  // Forward differences are those of the affine flow at the last column (and, above, at the last row), so that the dual
  // stays zero.
  p.u[at + g.width] = p.u[at + g.width - 1] + p.affine.ux;
  p.v[at + g.width] = p.v[at + g.width - 1] + p.affine.vx;
  if constexpr (tested) error += __builtin_convertvector(row_error, VecDouble);
}

FLOWKIT_HD int acquire(const int& shared) { return __atomic_load_n(&shared, __ATOMIC_ACQUIRE); }
FLOWKIT_HD void release(int& shared, int value) { __atomic_store_n(&shared, value, __ATOMIC_RELEASE); }

// One after the other, in single precision.
inline double sum_in_order(Grid g, const float* plane) {
  float sum = 0.0f;
  for (int y = 0; y < g.height; ++y)
    for (int x = 0; x < g.width; ++x) sum += plane[y * g.stride + x];
  return sum;
}

// Whether the sum of an iteration, in own.error as far as there are rows or `whole`, is known to exceed stop_at.
inline bool exceeds(const Sweep& sweep, Sweep::Iteration& own, bool whole, Grid g, const float* change) {
  if (own.error > sweep.stop_at * sweep.slack) return true;
  if (!whole || !(own.error > sweep.stop_at / sweep.slack)) return false;
  own.error = sum_in_order(g, change);
  return own.error > sweep.stop_at;
}

// How often a part looks again before it offers its processor to others: some rows' time.
constexpr int kPatience = 500;

FLOWKIT_HD void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Which iterations are a part's own: a run of them, whose rows then stay in its cache; or, where the sweep may stop
// after a few, every so many, so that each part has some of those.
struct Share {
  int first, stride, count;

  Share(const Sweep& sweep, int part, bool tested) {
    stride = tested ? sweep.parts : 1;
    first = tested ? part : sweep.count * part / sweep.parts;
    const int end = tested ? sweep.count : sweep.count * (part + 1) / sweep.parts;
    count = (end - first + stride - 1) / stride;
  }
  int operator[](int i) const { return first + i * stride; }
};

// This part's iterations of a sweep. Each follows at least one row behind the one before it, and begins only when the
// sum of squared changes of that one so far exceeds `stop_at`: a sum of squares can only grow, so then that one is not
// the last. Nothing is ever undone, and only one iteration at a time is still to be tested.
template <DataTerm term, Rounding rounding, bool affine, bool tested>
inline void sweep_part(Grid g, IterationPlanes p, StepSizes s, Sweep& sweep, int part) {
  const Share share(sweep, part, tested);
  const int steps = g.height + 1;
  Sweep::Iteration* const iterations = sweep.iterations;
  VecDouble sums[kMostIterationsAtOnce] = {};
  for (int begun = 0, finished = 0, idle = 0; finished < share.count;) {
    bool waits = true;
    for (int i = finished; i < begun; ++i) {
      const int k = share[i];
      Sweep::Iteration& own = iterations[k];
      const int row = own.done, next = row + 2 < steps ? row + 2 : steps;
      if (row == steps || (k > 0 && acquire(iterations[k - 1].done) < next)) continue;
      if (own.continues) {
        sweep_row<term, rounding, affine, false>(g, p, s, row, sums[i]);
      } else {
        sweep_row<term, rounding, affine, tested>(g, p, s, row, sums[i]);
        own.error = sum(sums[i]);
        if (exceeds(sweep, own, row + 1 == steps, g, p.change)) release(own.continues, 1);
      }
      release(own.done, row + 1);
      waits = false;
      idle = 0;
    }
    while (finished < begun && iterations[share[finished]].done == steps) ++finished;
    const Sweep::Iteration* before = begun < share.count && share[begun] > 0 ? &iterations[share[begun] - 1] : nullptr;
    if (begun < share.count && (!before || acquire(before->continues))) {
      ++begun;
    } else if (waits) {
      if (before && acquire(before->done) == steps && !acquire(before->continues)) release(sweep.over, 1);
      if (acquire(sweep.over)) return;
      if (++idle < kPatience)
        pause();
      else
        sweep.wait();
    }
  }
}

template <DataTerm term, Rounding rounding, bool tested>
inline void sweep_part(Grid g, IterationPlanes p, StepSizes s, Sweep& sweep, int part) {
  const AffineGradient a = p.affine;
  if (a.ux == 0.0f && a.uy == 0.0f && a.vx == 0.0f && a.vy == 0.0f)
    return sweep_part<term, rounding, false, tested>(g, p, s, sweep, part);
  return sweep_part<term, rounding, true, tested>(g, p, s, sweep, part);
}

static void iterate(DataTerm term, Rounding rounding, Grid g, IterationPlanes p, StepSizes s, Sweep& sweep, int part) {
  const bool patch = term == DataTerm::patch;
  if (rounding == Rounding::opencv)
    return patch ? sweep_part<DataTerm::patch, Rounding::opencv, true>(g, p, s, sweep, part)
                 : sweep_part<DataTerm::pixel, Rounding::opencv, true>(g, p, s, sweep, part);
  if (sweep.stop_at < 0.0)
    return patch ? sweep_part<DataTerm::patch, Rounding::fast, false>(g, p, s, sweep, part)
                 : sweep_part<DataTerm::pixel, Rounding::fast, false>(g, p, s, sweep, part);
  return patch ? sweep_part<DataTerm::patch, Rounding::fast, true>(g, p, s, sweep, part)
               : sweep_part<DataTerm::pixel, Rounding::fast, true>(g, p, s, sweep, part);
}

}  // namespace flowkit::FLOWKIT_SIMD
