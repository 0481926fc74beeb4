// What the refit does with whole planes beside its patches (kernels.h, refit_patches). docs/algorithm.md, "Refit".
#pragma once

#include "../refit_math.h"

namespace flowkit {

// The mean of a plane, each value cut at `most`. The same bits on every machine.
double mean_below(Grid g, const float* plane, float most);

// plane += change.
void add_plane(Grid g, float* plane, const float* change);

// plane -= mean.
void subtract_plane(Grid g, float* plane, const float* mean);

}  // namespace flowkit
