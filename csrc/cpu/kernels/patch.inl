// Patches: averages of gradient products around each pixel, and what follows from them: the linear step of the data
// term (csrc/patch_math.h), or the refit (csrc/refit_math.h).
//
// One sweep over the rows: products are blurred along x into a ring of rows, and rows that lie the radius behind are
// blurred along y out of it and may be written over the planes they came from.

#include "../../patch_math.h"
#include "../../refit_math.h"

namespace flowkit::FLOWKIT_SIMD {

// The products of rows y .. y + kLanes - 1, products_at(x, y) for pixels x .. , blurred along x; row(y) is where six
// rows a stride apart go. Rows below the image are left out.
template <class ProductsAt, class Row>
inline void blur_products(Grid g, const ProductsAt& products_at, int y, const float* weight, int radius, const Row& row,
                          float* columns) {
  const int last = g.height - 1 - y;
  const auto rows = [&](int k) { return TurnedRows(columns + k * turned_floats(g, radius), g.width, radius); };
  Vec block[kProducts][kLanes];
  for (int x = 0; x < g.width; x += kLanes) {
    for (int i = 0; i < kLanes; ++i) {
      const PatchProducts<Vec> products = products_at(x, y + (i < last ? i : last));
      for (int k = 0; k < kProducts; ++k) block[k][i] = products.at[k];
    }
    for (int k = 0; k < kProducts; ++k) rows(k).put(x, block[k]);
  }
  for (int k = 0; k < kProducts; ++k) {
    rows(k).close();
    for (int x = 0; x < g.width; x += kLanes) {
      rows(k).get(x, weight, block[k]);
      for (int i = 0; i < kLanes && i <= last; ++i) store(row(y + i) + k * g.stride + x, block[k][i]);
    }
  }
}

// Calls finish(x, y, mean) with the averages around pixels x .. of each row.
template <class ProductsAt, class Finish>
inline void each_patch(Grid g, const ProductsAt& products_at, const float* weight, int radius, float* ring,
                       const Finish& finish) {
  const int rows = ring_rows(radius);
  const std::ptrdiff_t ring_row = kProducts * g.stride;
  float* const columns = ring + rows * ring_row;
  const auto blurred = [&](int y) { return ring + clamp_index(y, g.height) % rows * ring_row; };
  int ready = 0;
  for (int y = 0; y < g.height; y += kSumsAtOnce) {
    for (; ready < g.height && ready < y + kSumsAtOnce + radius; ready += kLanes)
      blur_products(g, products_at, ready, weight, radius, blurred, columns);
    const float* from[2 * kMostPatchRadius + kSumsAtOnce];
    for (int j = -radius; j < radius + kSumsAtOnce; ++j) from[radius + j] = blurred(y + j);
    for (int x = 0; x < g.width; x += kLanes) {
      Vec mean[kProducts][kSumsAtOnce];
      for (int k = 0; k < kProducts; ++k) {
        const float* const* centre = from + radius;
        const std::ptrdiff_t offset = k * g.stride + x;
        const auto at = [&](int j) __attribute__((always_inline)) { return load(centre[j] + offset); };
        symmetric_sums<kSumsAtOnce>(weight, radius, at, mean[k]);
      }
      for (int i = 0; i < kSumsAtOnce && y + i < g.height; ++i) {
        PatchProducts<Vec> products;
        for (int k = 0; k < kProducts; ++k) products.at[k] = mean[k][i];
        finish(x, y + i, products);
      }
    }
  }
}

static void average_patches(Grid g, const float* u, const float* v, float* const* data, StepSizes s,
                            ResidualLimit limit, const float* weight, int radius, float* ring) {
  const auto products_at = [&](int x, int y) __attribute__((always_inline)) {
    const std::ptrdiff_t i = y * g.stride + x;
    return patch_products(load(data[0] + i), load(data[1] + i), load(data[2] + i), load(u + i), load(v + i));
  };
  const auto finish = [&](int x, int y, const PatchProducts<Vec>& mean) __attribute__((always_inline)) {
    const PatchStep<Vec> step = patch_step(mean, limit, s.data_limit);
    const std::ptrdiff_t i = y * g.stride + x;
    store(data[0] + i, step.a11);
    store(data[1] + i, step.a12);
    store(data[2] + i, step.a22);
    store(data[3] + i, step.k1);
    store(data[4] + i, step.k2);
  };
  each_patch(g, products_at, weight, radius, ring, finish);
}

static void refit_patches(Grid g, const float* const* flow, const float* const* surroundings, float* const* data,
                          RefitConstants c, const float* weight, int radius, float* ring) {
  const float last_x = g.width - 1.0f, last_y = g.height - 1.0f;
  const auto column = [](int x) { return iota() + static_cast<float>(x); };
  const auto products_at = [&](int x, int y) __attribute__((always_inline)) {
    const std::ptrdiff_t i = y * g.stride + x;
    const Vec at = column(x), one = in_all_lanes<Vec>(y > 0 && y < g.height - 1 ? 1.0f : 0.0f);
    const Vec inside = select((at > 0.0f) & (at < last_x), one, Vec{});
    return refit_products(load(data[0] + i), load(data[1] + i), load(data[2] + i), load(flow[0] + i), load(flow[1] + i),
                          inside);
  };
  const auto finish = [&](int x, int y, const PatchProducts<Vec>& mean) __attribute__((always_inline)) {
    const Vec at = column(x);
    const float row = static_cast<float>(y);
    const Vec share = inside_share<Vec>(minimum(at, last_x - at), c) * inside_share(minimum(row, last_y - row), c);
    const std::ptrdiff_t i = y * g.stride + x;
    const auto departure = [&](int k) { return load(flow[k] + i) - load(surroundings[k] + i); };
    const RefitStep<Vec> step = refit_step(mean, share, departure, c);
    store(data[0] + i, step.u);
    store(data[1] + i, step.v);
    store(data[2] + i, step.significance);
    store(data[3] + i, step.credit);
    store(data[4] + i, step.precision);
  };
  each_patch(g, products_at, weight, radius, ring, finish);
}

static void weigh_steps(Grid g, float* const* data, RefitImage image, RefitConstants c) {
  for (int y = 0; y < g.height; ++y)
    for (int x = 0; x < g.width; x += kLanes) {
      const std::ptrdiff_t i = y * g.stride + x;
      const Vec share = refit_share(load(data[2] + i), load(data[3] + i), load(data[4] + i), image, c);
      store(data[0] + i, load(data[0] + i) * share);
      store(data[1] + i, load(data[1] + i) * share);
    }
}

}  // namespace flowkit::FLOWKIT_SIMD
