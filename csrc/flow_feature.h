// What is computed from a flow. docs/algorithm.md, "Strain".
#pragma once

#include <cstddef>

namespace flowkit {

// Of a flow (2, h, w): exx, eyy, exy (3, h, w); their magnitude (h, w); u, v and the magnitude (3, h, w), in single or
// half precision.
enum class FlowFeature { tensor, magnitude, cube, half_cube };

constexpr int planes_of(FlowFeature feature) { return feature == FlowFeature::magnitude ? 1 : 3; }
constexpr std::size_t value_bytes_of(FlowFeature feature) { return feature == FlowFeature::half_cube ? 2 : 4; }

}  // namespace flowkit
