// The CPU kernels of TV-L1, one table a SIMD level: kernels_baseline.cpp, kernels_v3.cpp and kernels_v4.cpp compile the
// same files (kernels/all.inl), dispatch.h chooses. Kernels work on rows of padded planes (Planes in tvl1.cpp) and
// never allocate.
#pragma once

#include "../refit_math.h"
#include "../resample.h"
#include "../tvl1_math.h"
#include "../view.h"
#include "../warp_math.h"

namespace flowkit {

// Rows are whole vectors, so that vectors may be read and written anywhere a row has pixels, and this many pixels of
// padding are between them (and in front of the first), so that x - 1, x + 1 need no test. The first of the padding
// belong to the row before, the last to the row behind.
constexpr int kRowPadding = 16;

constexpr std::ptrdiff_t padded_stride(int width) {
  return (width + kRowPadding - 1) / kRowPadding * kRowPadding + kRowPadding;
}

// The planes of the iteration on one level. The padding in front of the rows of pu_x and pv_x is zero.
struct IterationPlanes {
  float *u, *v;
  float *pu_x, *pu_y, *pv_x, *pv_y;
  const float* data[5];  // the members of Linearised (four), or of PatchStep
  const float* zero_row;
  float* change;  // with OpenCV's rounding: the squared changes of the one iteration that is still to be tested
  AffineGradient affine;
};

constexpr int kMostIterationsAtOnce = 16;

// Up to `count` iterations, in `parts` parts, that end after the first whose sum over the pixels of the squared change
// of (u, v) is at most `stop_at`; with a negative one, all run and there need be no sums.
//
// With OpenCV's rounding its sum decides, of one pixel after the other in single precision: a chain of additions, of
// which each waits for the one before. From the sum that is made beside the iteration it differs by a factor of up to
// `slack`, so it is made only where that leaves it open. Otherwise `slack` is 1.
struct Sweep {
  int count, parts;
  double stop_at, slack;
  void (*wait)();  // called over and over while a part waits for another

  // Read by other parts while they run, so each in a cache line of its own.
  struct alignas(64) Iteration {
    int done = 0;       // rows
    int continues = 0;  // it is not the last
    double error = 0.0;
  };
  Iteration iterations[kMostIterationsAtOnce];
  int over = 0;

  // Afterwards: how many iterations ran.
  int ran() const {
    int n = 0;
    while (n < count && iterations[n].done > 0) ++n;
    return n;
  }
};

// I1 and its derivatives, each plane framed by kFrame pixels of border on all sides: as far as a tap of any sample can
// be. The border beside the rows is in their padding.
struct WarpSource {
  const float *value, *dx, *dy;
  static constexpr int kFrame = 5;
};

struct WarpTarget {
  float *value, *dx, *dy;
};

struct WarpPlanes {
  const float *u, *v, *frame0;
  float *gx, *gy, *rho_c, *square;
};

// ceil(4 sigma) for the largest sigma that TVL1Params allows, 20 px, which a product may exceed by its rounding.
constexpr int kMostPatchRadius = 81;

// A blur along x takes as many rows at a time as a vector has lanes, at most so many; outputs are summed so many at a
// time.
constexpr int kMostLanes = 16, kSumsAtOnce = 4;

// Scratch of a blur along x: a block of turned rows with the kernel's radius beside it.
constexpr std::ptrdiff_t turned_floats(Grid g, int radius) { return kMostLanes * (g.stride + 2 * radius); }

// Rows of products that average_patches and refit_patches keep, and their scratch: those, and six blocks of turned
// rows.
constexpr int ring_rows(int radius) { return 2 * radius + kMostLanes + kSumsAtOnce; }
constexpr std::size_t patch_scratch(Grid g, int radius) {
  return 6 * (ring_rows(radius) * g.stride + turned_floats(g, radius));
}

// Views come by value: then the compiler knows that no store through a plane changes them, and keeps them in registers.
struct KernelTable {
  const char* level;

  // Part `part` of a sweep; every part has to run, on threads of their own. The result does not depend on how many
  // there are.
  void (*iterate)(DataTerm, Rounding, Grid, IterationPlanes, StepSizes, Sweep&, int part);

  // Samples I1 at (x + u, y + v) and linearises it there.
  void (*warp)(Grid, WarpSource, WarpPlanes, DataBounds, float cubic);

  // Of the linearised image the residual at (u, v), and 1 or 0 where the data term is on or off.
  void (*split_residual)(Grid, WarpPlanes, DataBounds, float* rho, float* on);

  // Takes from the residual its mean, given the Gaussian averages of the two.
  void (*take_mean)(Grid, WarpPlanes, DataBounds, const float* rho_mean, const float* on_mean);

  // From the linearised image at the flow of the last warp, in data[0..3], to the patch steps, in data[0..4]. Patches
  // are Gaussian, with weight[0..radius]. `ring`: scratch of patch_scratch() floats.
  void (*average_patches)(Grid, const float* u, const float* v, float* const* data, StepSizes, ResidualLimit,
                          const float* weight, int radius, float* ring);

  // From the image linearised at flow[0..1], in data[0..2], to the members of RefitStep, in data[0..4];
  // surroundings[0..1] is the flow's mean around each pixel. Patches and `ring` as above.
  void (*refit_patches)(Grid, const float* const* flow, const float* const* surroundings, float* const* data,
                        RefitConstants, const float* weight, int radius, float* ring);

  // Leaves of the steps' components what they are to have.
  void (*weigh_steps)(Grid, float* const* data, RefitImage, RefitConstants);

  // The median over size x size pixels (3 or 5) with replicated borders, in place. `rows`: kMedianRows rows of scratch,
  // padded in front.
  void (*median)(Grid, float* plane, int size, float* const* rows);

  // The derivatives (of 3 or 5 points) of target.value, then the border of all three: zeros or the nearest pixel.
  void (*prepare_warp)(Grid, WarpTarget target, bool five_point, bool zero_border);

  // Resamples rows then columns and multiplies by `gain`, in double precision. `scratch` holds input height x output
  // width, in the output's stride.
  void (*resample)(Grid in_grid, const float* in, Grid out_grid, float* out, AxisTaps x_taps, AxisTaps y_taps,
                   double gain, float* scratch);

  // Convolves rows and columns with a symmetric kernel weight[0..radius], borders replicated. `out` may be `in`;
  // `scratch` is a plane, `columns` turned_floats().
  void (*blur)(Grid, const float* in, float* out, const float* weight, int radius, float* scratch, float* columns);
};

constexpr int kMedianRows = 7;

}  // namespace flowkit
