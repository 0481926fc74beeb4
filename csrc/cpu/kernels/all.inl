// Everything that is compiled once a SIMD level, and the table that offers it.

// The vector type first: the arithmetic headers look up its functions.
#include "../simd.h"

#include "../kernels.h"

#include "blur.inl"
#include "high_pass.inl"
#include "iterate.inl"
#include "median.inl"
#include "patch.inl"
#include "resample.inl"
#include "warp.inl"

namespace flowkit::FLOWKIT_SIMD {

extern const KernelTable kernels;
const KernelTable kernels = {FLOWKIT_SIMD_NAME, iterate,     warp,   split_residual, take_mean, average_patches,
                             refit_patches,     weigh_steps, median, prepare_warp,   resample,  blur};

}  // namespace flowkit::FLOWKIT_SIMD
