// Strain of a batch of flows on the CPU. docs/algorithm.md, "Strain".
#pragma once

#include "../strain_math.h"

namespace flowkit {

// flow: (2, h, w); out: (3, h, w) = exx, eyy, exy.
void strain_tensor(const FlowView& flow, float* out);

// out: (h, w).
void strain_magnitude(const FlowView& flow, float* out);
void strain_magnitude_meb(const FlowView& flow, float* out);
void strain_magnitude_softnet(const FlowView& flow, float* out);

}  // namespace flowkit
