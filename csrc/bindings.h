// Arguments as Python gives them, and the parts of the module.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <map>
#include <optional>
#include <string>

#include "cuda/batch_arguments.h"
#include "cuda/features_cuda.h"
#include "tvl1_params.h"

namespace flowkit {

namespace py = pybind11;

using Floats = py::array_t<float, py::array::c_style>;

template <class E>
E choice(const py::dict& params, const char* name, const std::map<std::string, E>& known) {
  return known.at(params[name].cast<std::string>());
}

// The fields of flowkit.types.TVL1Params.
TVL1Params params_from(const py::dict& fields);

Size size_of(const py::array& frames);
ValueRange value_range(double lo, double hi);

// frames: (n, h, w) of uint8, uint16 or float32 with any strides.
FrameBatch frame_batch(const py::array& frames);

// flow: (n, 2, h, w).
Size flow_size(const Floats& flow);
FlowFeature feature_from(const std::string& name);
// A new array for that feature of these flows; halves are uint16 with their bits.
py::array feature_array(FlowFeature feature, const Floats& flow);

// The block programs on the host (bindings_blocks.cpp) and on a GPU (bindings_cuda.cpp).
void bind_blocks(py::module_& m);
void bind_cuda(py::module_& m);

}  // namespace flowkit
