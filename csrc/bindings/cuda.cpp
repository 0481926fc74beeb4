// What runs on a GPU, or says that this build has no CUDA part.
#include <array>
#include <stdexcept>

#include "bindings.h"

#if defined(FLOWKIT_WITH_CUDA)
#include "../cuda/device.h"
#include "../cuda/features_cuda.h"
#include "../cuda/tvl1_cuda.h"
#endif

namespace flowkit {
namespace {

[[noreturn]] [[maybe_unused]] void no_cuda() { throw std::runtime_error("flowkit was built without CUDA"); }

// (devices as (name, compute capability, memory in bytes), why there are none)
py::tuple cuda_device_list() {
  py::list devices;
#if defined(FLOWKIT_WITH_CUDA)
  const Devices found = [] {
    py::gil_scoped_release release;
    return cuda_devices();
  }();
  for (const DeviceInfo& d : found.devices)
    devices.append(py::make_tuple(d.name, std::to_string(d.major) + "." + std::to_string(d.minor), d.memory_bytes));
  return py::make_tuple(devices, found.problem);
#else
  return py::make_tuple(devices, "flowkit was built without CUDA");
#endif
}

// From arrays to arrays.
py::array feature_on_gpu(const std::string& name, const Floats& flow, int device) {
#if defined(FLOWKIT_WITH_CUDA)
  const FlowFeature feature = feature_from(name);
  py::array out = feature_array(feature, flow);
  void* target = out.mutable_data();
  py::gil_scoped_release release;
  flow_feature_on_gpu(feature, flow.data(), flow_size(flow), static_cast<std::size_t>(flow.shape(0)), target, device);
  return out;
#else
  (void)name, (void)flow, (void)device;
  no_cuda();
#endif
}

using Strides = std::array<std::ptrdiff_t, 3>;  // of a pair, a row and a column, in bytes

#if defined(FLOWKIT_WITH_CUDA)
template <class T>
T* pointer(std::uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

FrameBatch device_frames(std::uintptr_t address, const std::string& dtype, const Strides& strides) {
  const std::map<std::string, Pixel> pixels = {{"uint8", Pixel::u8}, {"uint16", Pixel::u16}, {"float32", Pixel::f32}};
  return {pointer<const char>(address), strides[0], strides[1], strides[2], pixels.at(dtype)};
}
#endif

std::size_t workspace_bytes(int height, int width, int n, const py::dict& params, int device) {
#if defined(FLOWKIT_WITH_CUDA)
  const TVL1Params p = params_from(params);
  py::gil_scoped_release release;  // the first call loads the kernels
  return tvl1_workspace_bytes({width, height}, n, p, device);
#else
  (void)height, (void)width, (void)n, (void)params, (void)device;
  no_cuda();
#endif
}

// Addresses are of the device's memory; returns before the work is done, which goes to the stream.
void flow_cuda(std::uintptr_t frames0, std::uintptr_t frames1, const std::string& dtype, const Strides& strides0,
               const Strides& strides1, int n, int height, int width, const py::dict& params, double lo, double hi,
               std::uintptr_t initial_flow, std::uintptr_t flow, std::uintptr_t iterations, std::uintptr_t workspace,
               std::size_t workspace_size, std::uintptr_t stream, int device) {
#if defined(FLOWKIT_WITH_CUDA)
  const BatchArguments arguments = {{device_frames(frames0, dtype, strides0), device_frames(frames1, dtype, strides1)},
                                    value_range(lo, hi),
                                    pointer<const float>(initial_flow),
                                    pointer<float>(flow),
                                    pointer<std::int32_t>(iterations)};
  const TVL1Params p = params_from(params);
  py::gil_scoped_release release;
  tvl1_flow_cuda(arguments, {width, height}, n, p, pointer<void>(workspace), workspace_size,
                 {device, pointer<void>(stream)});
#else
  (void)frames0, (void)frames1, (void)dtype, (void)strides0, (void)strides1, (void)n, (void)height, (void)width;
  (void)params, (void)lo, (void)hi, (void)initial_flow, (void)flow, (void)iterations, (void)workspace;
  (void)workspace_size, (void)stream, (void)device;
  no_cuda();
#endif
}

// Addresses are of the device's memory; asynchronous too.
void feature_cuda(const std::string& name, std::uintptr_t flow, int n, int height, int width, std::uintptr_t out,
                  std::uintptr_t stream, int device) {
#if defined(FLOWKIT_WITH_CUDA)
  const FlowFeature feature = feature_from(name);
  py::gil_scoped_release release;
  flow_feature_cuda(feature, pointer<const float>(flow), {width, height}, n, pointer<void>(out),
                    {device, pointer<void>(stream)});
#else
  (void)name, (void)flow, (void)n, (void)height, (void)width, (void)out, (void)stream, (void)device;
  no_cuda();
#endif
}

// Addresses are of the device's memory; asynchronous too.
void finite_cuda(std::uintptr_t flow, int n, int height, int width, std::uintptr_t finite, std::uintptr_t stream,
                 int device) {
#if defined(FLOWKIT_WITH_CUDA)
  py::gil_scoped_release release;
  flow_finite_cuda(pointer<const float>(flow), {width, height}, n, pointer<std::uint8_t>(finite),
                   {device, pointer<void>(stream)});
#else
  (void)flow, (void)n, (void)height, (void)width, (void)finite, (void)stream, (void)device;
  no_cuda();
#endif
}

// From arrays to arrays.
py::tuple flow_on_gpu(const py::array& frames0, const py::array& frames1, const py::dict& params, double lo, double hi,
                      const std::optional<Floats>& initial_flow, int device) {
#if defined(FLOWKIT_WITH_CUDA)
  // By NumPy, whose error says what there is no memory for.
  const py::object in_order = py::module_::import("numpy").attr("ascontiguousarray");
  const py::array first = in_order(frames0), second = in_order(frames1);
  const py::ssize_t n = first.shape(0);
  Floats flow({n, py::ssize_t{2}, first.shape(1), first.shape(2)});
  py::array_t<std::int32_t> iterations(n);
  const BatchArguments arguments = {{frame_batch(first), frame_batch(second)},
                                    value_range(lo, hi),
                                    initial_flow ? initial_flow->data() : nullptr,
                                    flow.mutable_data(),
                                    iterations.mutable_data()};
  const Size size = size_of(first);
  const TVL1Params p = params_from(params);
  {
    py::gil_scoped_release release;
    tvl1_flow_on_gpu(arguments, size, static_cast<std::size_t>(n), p, device);
  }
  return py::make_tuple(flow, iterations);
#else
  (void)frames0, (void)frames1, (void)params, (void)lo, (void)hi, (void)initial_flow, (void)device;
  no_cuda();
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
  m.def("tvl1_workspace_bytes", &workspace_bytes, py::arg("height"), py::arg("width"), py::arg("n"), py::arg("params"),
        py::arg("device"));
  m.def("tvl1_flow_cuda", &flow_cuda, py::arg("frames0_ptr"), py::arg("frames1_ptr"), py::arg("dtype"),
        py::arg("strides0"), py::arg("strides1"), py::arg("n"), py::arg("height"), py::arg("width"), py::arg("params"),
        py::arg("lo"), py::arg("hi"), py::arg("initial_flow_ptr"), py::arg("flow_ptr"), py::arg("iterations_ptr"),
        py::arg("workspace_ptr"), py::arg("workspace_bytes"), py::arg("stream"), py::arg("device"));
  m.def("flow_feature_cuda", &feature_cuda, py::arg("feature"), py::arg("flow_ptr"), py::arg("n"), py::arg("height"),
        py::arg("width"), py::arg("out_ptr"), py::arg("stream"), py::arg("device"));
  m.def("flow_finite_cuda", &finite_cuda, py::arg("flow_ptr"), py::arg("n"), py::arg("height"), py::arg("width"),
        py::arg("finite_ptr"), py::arg("stream"), py::arg("device"));
  m.def("flow_feature_on_gpu", &feature_on_gpu, py::arg("feature"), py::arg("flow"), py::arg("device"));
  m.def("tvl1_flow_on_gpu", &flow_on_gpu, py::arg("frames0"), py::arg("frames1"), py::arg("params"), py::arg("lo"),
        py::arg("hi"), py::arg("initial_flow"), py::arg("device"));
}

}  // namespace flowkit
