// What the refit does with whole planes beside its patches (kernels.h, refit_patches). docs/algorithm.md, "Refit".
#pragma once

#include "../refit_math.h"

namespace flowkit {

// The mean of a plane of significances, each cut at the cap. The same bits on every machine.
double mean_significance(Grid g, const float* significance);

// Leaves of a plane of steps what their significances allow.
void weigh_steps(Grid g, float* step, const float* significance, float scale, const RefitConstants& constants);

// plane += change.
void add_plane(Grid g, float* plane, const float* change);

// plane -= mean.
void subtract_plane(Grid g, float* plane, const float* mean);

}  // namespace flowkit
