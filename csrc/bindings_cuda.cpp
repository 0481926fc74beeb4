// What runs on a GPU, or says that this build has no CUDA part.
#include <stdexcept>

#include "bindings.h"
#if defined(FLOWKIT_WITH_CUDA)
#include "cuda/device.h"
#include "cuda/strain.h"
#endif

namespace flowkit {
namespace {

// (devices as (name, compute capability, memory in bytes), why there are none)
py::tuple cuda_device_list() {
  py::list devices;
#if defined(FLOWKIT_WITH_CUDA)
  const Devices found = cuda_devices();
  for (const DeviceInfo& d : found.devices)
    devices.append(py::make_tuple(d.name, std::to_string(d.major) + "." + std::to_string(d.minor), d.memory_bytes));
  return py::make_tuple(devices, found.problem);
#else
  return py::make_tuple(devices, "flowkit was built without CUDA");
#endif
}

Floats strain_tensor_on_gpu(const Floats& flow) {
#if defined(FLOWKIT_WITH_CUDA)
  Floats out({flow.shape(0), py::ssize_t{3}, flow.shape(2), flow.shape(3)});
  float* target = out.mutable_data();
  py::gil_scoped_release release;
  strain_tensor_cuda(flow.data(), static_cast<std::size_t>(flow.shape(0)), static_cast<int>(flow.shape(2)),
                     static_cast<int>(flow.shape(3)), target);
  return out;
#else
  (void)flow;
  throw std::runtime_error("flowkit was built without CUDA");
#endif
}

}  // namespace

void bind_cuda(py::module_& m) {
#if defined(FLOWKIT_WITH_CUDA)
  m.attr("cuda_build") = py::make_tuple(FLOWKIT_CUDA_VERSION, FLOWKIT_CUDA_ARCHITECTURES);
#else
  m.attr("cuda_build") = py::none();
#endif
  m.def("cuda_devices", &cuda_device_list);
  m.def("strain_tensor_cuda", &strain_tensor_on_gpu, py::arg("flow"));
}

}  // namespace flowkit
