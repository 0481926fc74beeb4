// Arguments as Python gives them, and the parts of the module flowkit._core.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <map>
#include <optional>
#include <string>

#include "../blocks/batch_arguments.h"
#include "../flow_feature.h"
#include "../tvl1_params.h"

namespace flowkit {

namespace py = pybind11;

using Floats = py::array_t<float, py::array::c_style>;

template <class E>
E choice(const py::dict& params, const char* name, const std::map<std::string, E>& known) {
  return known.at(params[name].cast<std::string>());
}

// The fields of flowkit.TVL1Params.
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

// What runs on a GPU (cuda.cpp).
void bind_cuda(py::module_& m);

}  // namespace flowkit
