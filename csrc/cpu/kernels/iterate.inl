// The primal-dual iteration, fused into one sweep over the rows.
//
// The dual of row y - 1 needs the new flow of rows y - 1 and y, and the primal of row y needs the old duals of rows y
// and y - 1. So one pass that updates the flow of row y and then, pixel by pixel, the duals of row y - 1 is a whole
// iteration in place. For the same reason iteration k + 1 may follow one row behind iteration k: several iterations
// pass through the cache together, with the same bits as one after the other.

namespace flowkit::FLOWKIT_SIMD {

// div p at pixels x .. of the row at `at`; `first` where x is 0.
FLOWKIT_HD Vec divergence_at(const float* px, const float* py, const float* py_above, std::ptrdiff_t at, int x,
                             bool first) {
  const Vec here = load(px + at + x), below = load(py + at + x), above = load(py_above + x);
  const Vec inner = divergence(here, load(px + at + x - 1), below, above);
  if (!first) return inner;
  return select(iota() == 0.0f, divergence_first_column(here, below, above), inner);
}

// The flow of pixels x .. x + kLanes - 1 of one row; returns its squared change.
FLOWKIT_HD Vec primal(const IterationPlanes& p, const StepSizes& s, std::ptrdiff_t at, const float* pu_y_above,
                      const float* pv_y_above, int x, bool first, Vec& u, Vec& v) {
  const Vec u_old = load(p.u + at + x);
  const Vec v_old = load(p.v + at + x);
  const Linearised<Vec> data = {load(p.gx + at + x), load(p.gy + at + x), load(p.rho_c + at + x),
                                load(p.square + at + x)};
  const Vector2<Vec> d = data_step(data, u_old, v_old, s);
  u = (u_old + d.x) + s.theta * divergence_at(p.pu_x, p.pu_y, pu_y_above, at, x, first);
  v = (v_old + d.y) + s.theta * divergence_at(p.pv_x, p.pv_y, pv_y_above, at, x, first);
  return (u - u_old) * (u - u_old) + (v - v_old) * (v - v_old);
}

// The dual of one flow component at pixels x .. of a row, given the flow of the row below it.
FLOWKIT_HD void dual(float* px, float* py, const float* flow, const StepSizes& s, std::ptrdiff_t i, Vec below) {
  const Vec here = load(flow + i);
  const Vector2<Vec> p =
      dual_step<Vec>({load(px + i), load(py + i)}, {load(flow + i + 1) - here, below - here}, s.dual_step);
  store(px + i, p.x);
  store(py + i, p.y);
}

// One row of one iteration; row y = height has only the duals of the last row left to do.
inline void sweep_row(const Grid& g, const IterationPlanes& p, const StepSizes& s, int y, VecDouble& error) {
  const std::ptrdiff_t at = y * g.stride;
  const std::ptrdiff_t above = at - g.stride;
  if (y == g.height) {
    for (int x = 0; x < g.width; x += kLanes) {
      dual(p.pu_x, p.pu_y, p.u, s, above + x, load(p.u + above + x));
      dual(p.pv_x, p.pv_y, p.v, s, above + x, load(p.v + above + x));
    }
    return;
  }
  const float* pu_y_above = y > 0 ? p.pu_y + above : p.zero_row;
  const float* pv_y_above = y > 0 ? p.pv_y + above : p.zero_row;
  Vec row_error = {};
  const auto block = [&](int x, bool first, Vec inside) __attribute__((always_inline)) {
    Vec u, v;
    row_error += inside * primal(p, s, at, pu_y_above, pv_y_above, x, first, u, v);
    store(p.u + at + x, u);
    store(p.v + at + x, v);
    if (y == 0) return;
    dual(p.pu_x, p.pu_y, p.u, s, above + x, u);
    dual(p.pv_x, p.pv_y, p.v, s, above + x, v);
  };
  const int whole = g.width / kLanes * kLanes;
  block(0, true, first_lanes(g.width));
  for (int x = kLanes; x < whole; x += kLanes) block(x, false, broadcast(1.0f));
  if (whole < g.width && whole > 0) block(whole, false, first_lanes(g.width - whole));
  // Forward differences are zero at the last column.
  p.u[at + g.width] = p.u[at + g.width - 1];
  p.v[at + g.width] = p.v[at + g.width - 1];
  error += __builtin_convertvector(row_error, VecDouble);
}

static void iterate(const Grid& g, const IterationPlanes& p, const StepSizes& s, int count, double* errors) {
  VecDouble sums[kMostIterationsAtOnce] = {};
  for (int step = 0; step < g.height + count; ++step)
    for (int k = 0; k < count; ++k) {
      const int y = step - k;
      if (y >= 0 && y <= g.height) sweep_row(g, p, s, y, sums[k]);
    }
  for (int k = 0; k < count; ++k) errors[k] = sum(sums[k]);
}

}  // namespace flowkit::FLOWKIT_SIMD
