// The forms of the iteration that are compiled: one for each preset's choices, and general ones for the rest. Every
// form costs compile time and binary size once an architecture, so there are few.
#pragma once

#include "iterate.h"

namespace flowkit {

using PixelOpencv = IterationConfig<DataTerm::pixel, Rounding::opencv, false, true>;
using PixelFast = IterationConfig<DataTerm::pixel, Rounding::fast, false, true>;
using PatchFastUntested = IterationConfig<DataTerm::patch, Rounding::fast, true, false>;
// With an affine reference of zero these compute what the forms without one do.
using PixelOpencvAffine = IterationConfig<DataTerm::pixel, Rounding::opencv, true, true>;
using PixelFastAffine = IterationConfig<DataTerm::pixel, Rounding::fast, true, true>;
using PatchOpencv = IterationConfig<DataTerm::patch, Rounding::opencv, true, true>;
using PatchFast = IterationConfig<DataTerm::patch, Rounding::fast, true, true>;

// Calls use(config) with the form for these parameters.
template <class Use>
void with_config(const TVL1Params& p, const Use& use) {
  const bool fast = p.rounding == Rounding::fast;
  if (p.data_term == DataTerm::patch) {
    if (!fast) return use(PatchOpencv{});
    return p.epsilon > 0.0 ? use(PatchFast{}) : use(PatchFastUntested{});
  }
  if (p.affine_reference) return fast ? use(PixelFastAffine{}) : use(PixelOpencvAffine{});
  return fast ? use(PixelFast{}) : use(PixelOpencv{});
}

}  // namespace flowkit
