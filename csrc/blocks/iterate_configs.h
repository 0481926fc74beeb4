// The forms of the iteration that are compiled: one for each preset's choices, and general ones for the rest. Every
// form costs compile time and binary size once an architecture, so there are few.
#pragma once

#include "../tvl1_math.h"
#include "../tvl1_params.h"

namespace flowkit {

// What of the iteration is fixed at compile time.
template <DataTerm term_, Rounding rounding_, bool affine_, bool may_stop_ = true>
struct IterationConfig {
  static constexpr DataTerm term = term_;
  static constexpr Rounding rounding = rounding_;
  static constexpr bool affine = affine_;      // off: the affine reference is zero
  static constexpr bool may_stop = may_stop_;  // off: nothing stops early
};

using PixelOpencv = IterationConfig<DataTerm::pixel, Rounding::opencv, false>;
using PixelFast = IterationConfig<DataTerm::pixel, Rounding::fast, false>;
using PatchFast = IterationConfig<DataTerm::patch, Rounding::fast, true, false>;
// With an affine reference of zero these, and the one before, compute what a form without one would.
using PixelOpencvAffine = IterationConfig<DataTerm::pixel, Rounding::opencv, true>;
using PixelFastAffine = IterationConfig<DataTerm::pixel, Rounding::fast, true>;
using PatchFastStopping = IterationConfig<DataTerm::patch, Rounding::fast, true>;
using PatchOpencv = IterationConfig<DataTerm::patch, Rounding::opencv, true>;

// Calls use(config) with the form for these parameters.
template <class Use>
void with_config(const TVL1Params& p, const Use& use) {
  const bool fast = p.rounding == Rounding::fast;
  if (p.data_term == DataTerm::patch && fast) return p.epsilon > 0.0 ? use(PatchFastStopping{}) : use(PatchFast{});
  if (p.data_term == DataTerm::patch) return use(PatchOpencv{});
  if (p.affine_reference) return fast ? use(PixelFastAffine{}) : use(PixelOpencvAffine{});
  return fast ? use(PixelFast{}) : use(PixelOpencv{});
}

}  // namespace flowkit
