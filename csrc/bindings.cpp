// The Python face of csrc: converts arguments, releases the interpreter, calls. flowkit/flow.py and flowkit/strain.py
// check every argument before it comes here.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>

#include "cpu/dispatch.h"
#include "cpu/parallel.h"
#include "cpu/strain.h"
#include "cpu/tvl1.h"
#include "cuda/host_blocks.h"
#if defined(FLOWKIT_WITH_CUDA)
#include "cuda/device.h"
#include "cuda/strain.h"
#endif

namespace py = pybind11;

namespace flowkit {
namespace {

using Floats = py::array_t<float, py::array::c_style>;

template <class E>
E choice(const py::dict& params, const char* name, const std::map<std::string, E>& known) {
  return known.at(params[name].cast<std::string>());
}

TVL1Params params_from(const py::dict& d) {
  const auto number = [&](const char* name) { return d[name].cast<double>(); };
  const auto whole = [&](const char* name) { return d[name].cast<int>(); };
  const std::map<std::string, Kernel> kernel = {{"linear", Kernel::linear}, {"cubic", Kernel::cubic}};
  TVL1Params p;
  p.tau = number("tau");
  p.lambda = number("lambda_");
  p.theta = number("theta");
  p.epsilon = number("epsilon");
  p.stop_rule = choice<StopRule>(d, "stop_rule", {{"every", StopRule::every}, {"cadenced", StopRule::cadenced}});
  p.levels = whole("levels");
  p.scale = number("scale");
  p.depth = choice<Depth>(d, "depth", {{"side", Depth::side}, {"diagonal", Depth::diagonal}});
  p.min_side = whole("min_side");
  p.warps = whole("warps");
  p.outer_iterations = whole("outer_iterations");
  p.inner_iterations = whole("inner_iterations");
  p.median = whole("median");
  p.cubic = number("cubic");
  p.border = choice<Border>(
      d, "border",
      {{"zero", Border::zero}, {"clamp", Border::clamp}, {"off", Border::off}, {"off-taps", Border::off_taps}});
  p.five_point_derivative = choice<bool>(d, "derivative", {{"central3", false}, {"central5", true}});
  p.data_term = choice<DataTerm>(d, "data_term", {{"pixel", DataTerm::pixel}, {"patch", DataTerm::patch}});
  p.patch_sigma = number("patch_sigma");
  p.residual_scale = number("residual_scale");
  p.rounding = choice<Rounding>(d, "rounding", {{"opencv", Rounding::opencv}, {"fast", Rounding::fast}});
  p.affine_reference = d["affine_reference"].cast<bool>();
  p.carry_dual = d["carry_dual"].cast<bool>();
  p.gradient_floor = number("gradient_floor");
  p.stretch = d["stretch"].cast<bool>();
  p.smoothing = number("smoothing");
  p.pyramid_blur = number("pyramid_blur");
  p.pyramid_kernel = choice<Kernel>(d, "pyramid_kernel", kernel);
  p.grid = choice<Alignment>(d, "grid", {{"centre", Alignment::centre}, {"corner", Alignment::corner}});
  p.upsampling = choice<Kernel>(d, "upsampling", kernel);
  p.upsampling_exact = d["upsampling_exact"].cast<bool>();
  return p;
}

Pixel pixel_of(const py::array& frames) {
  if (frames.dtype().kind() == 'f' && frames.itemsize() == 4) return Pixel::f32;
  if (frames.dtype().kind() == 'u' && frames.itemsize() == 1) return Pixel::u8;
  if (frames.dtype().kind() == 'u' && frames.itemsize() == 2) return Pixel::u16;
  throw std::invalid_argument("frames must be uint8, uint16 or float32");
}

// frames: (n, h, w) with any strides.
FrameBatch frame_batch(const py::array& frames) {
  return {static_cast<const char*>(frames.data()), frames.strides(0), frames.strides(1), frames.strides(2),
          pixel_of(frames)};
}

FrameView frame_of(const FrameBatch& batch, std::size_t i) {
  return {batch.data + static_cast<py::ssize_t>(i) * batch.pair_bytes, batch.row_bytes, batch.column_bytes,
          batch.pixel};
}

ValueRange value_range(double lo, double hi) { return {static_cast<float>(lo), static_cast<float>(255.0 / (hi - lo))}; }

py::tuple tvl1_flow(const py::array& frames0, const py::array& frames1, const py::dict& params, double lo, double hi,
                    const std::optional<Floats>& initial_flow, int threads) {
  const TVL1Params p = params_from(params);
  const FrameBatch batch0 = frame_batch(frames0), batch1 = frame_batch(frames1);
  const py::ssize_t n = frames0.shape(0), height = frames0.shape(1), width = frames0.shape(2);
  const ValueRange range = value_range(lo, hi);
  Floats flow({n, py::ssize_t{2}, height, width});
  py::array_t<int32_t> iterations(n);
  float* flow_data = flow.mutable_data();
  int32_t* iterations_data = iterations.mutable_data();
  const float* initial = initial_flow ? initial_flow->data() : nullptr;
  const std::size_t stride = static_cast<std::size_t>(2 * height * width);
  const Size size = {static_cast<int>(width), static_cast<int>(height)};
  {
    py::gil_scoped_release release;
    const KernelTable& table = kernels();
    for_each(static_cast<std::size_t>(n), threads, [&] {
      return [&, solver = std::make_unique<TVL1Solver>(size, p, table)](std::size_t i) {
        const float* start = initial ? initial + i * stride : nullptr;
        iterations_data[i] =
            solver->solve(frame_of(batch0, i), frame_of(batch1, i), range, start, flow_data + i * stride);
      };
    });
  }
  return py::make_tuple(flow, iterations);
}

// limits: shared_bytes, max_ranks, max_threads, tile_iterations, force ("resident", "tiled" or ""), order ("forward" or
// "reverse"); what is left out is as on a GPU that is large enough for anything.
DeviceLimits limits_from(const py::dict& d) {
  const auto whole = [&](const char* name, int otherwise) {
    return d.contains(name) ? d[name].cast<int>() : otherwise;
  };
  DeviceLimits limits;
  limits.shared_bytes = static_cast<std::size_t>(whole("shared_bytes", 232448));
  limits.most_ranks = whole("max_ranks", kMostRanks);
  limits.most_threads = whole("max_threads", limits.most_threads);
  limits.tile_iterations = whole("tile_iterations", limits.tile_iterations);
  using Force = DeviceLimits::Force;
  if (d.contains("force"))
    limits.force =
        choice<Force>(d, "force", {{"", Force::none}, {"resident", Force::resident}, {"tiled", Force::tiled}});
  return limits;
}

// The CUDA solver's block programs, run on the host.
py::tuple tvl1_flow_on_blocks(const py::array& frames0, const py::array& frames1, const py::dict& params, double lo,
                              double hi, const std::optional<Floats>& initial_flow, const py::dict& limits) {
  const py::ssize_t n = frames0.shape(0), height = frames0.shape(1), width = frames0.shape(2);
  const TVL1Plan plan({static_cast<int>(width), static_cast<int>(height)}, params_from(params), limits_from(limits));
  const ThreadOrder order =
      limits.contains("order")
          ? choice<ThreadOrder>(limits, "order", {{"forward", ThreadOrder::forward}, {"reverse", ThreadOrder::reverse}})
          : ThreadOrder::forward;
  Floats flow({n, py::ssize_t{2}, height, width});
  py::array_t<int32_t> iterations(n);
  const BatchArguments arguments = {{frame_batch(frames0), frame_batch(frames1)},
                                    value_range(lo, hi),
                                    initial_flow ? initial_flow->data() : nullptr,
                                    flow.mutable_data(),
                                    iterations.mutable_data()};
  {
    py::gil_scoped_release release;
    tvl1_flow_blocks(arguments, static_cast<int>(n), plan, order);
  }
  return py::make_tuple(flow, iterations);
}

// flow: (n, 2, h, w).
template <class PerFlow>
Floats each_flow(const Floats& flow, py::ssize_t channels, int threads, const PerFlow& per_flow) {
  const py::ssize_t n = flow.shape(0), height = flow.shape(2), width = flow.shape(3);
  const std::vector<py::ssize_t> shape =
      channels == 1 ? std::vector<py::ssize_t>{n, height, width} : std::vector<py::ssize_t>{n, channels, height, width};
  Floats out(shape);
  float* target = out.mutable_data();
  const float* source = flow.data();
  const std::size_t area = static_cast<std::size_t>(height * width);
  {
    py::gil_scoped_release release;
    for_each(static_cast<std::size_t>(n), threads, [&] {
      return [&](std::size_t i) {
        const FlowView view = {source + i * 2 * area, static_cast<int>(width), static_cast<int>(height)};
        per_flow(view, target + i * channels * area);
      };
    });
  }
  return out;
}

Floats strain_tensor_batch(const Floats& flow, int threads) { return each_flow(flow, 3, threads, strain_tensor); }

Floats strain_magnitude_batch(const Floats& flow, const std::string& variant, int threads) {
  const std::map<std::string, void (*)(const FlowView&, float*)> variants = {
      {"standard", strain_magnitude}, {"meb", strain_magnitude_meb}, {"softnet", strain_magnitude_softnet}};
  return each_flow(flow, 1, threads, variants.at(variant));
}

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
}  // namespace flowkit

PYBIND11_MODULE(_core, m) {
  using namespace flowkit;
  m.doc() =
      "The compiled part of flowkit. Private: call it through flowkit.tvl1_flow, flowkit.strain_tensor and so on.";
  m.attr("version") = FLOWKIT_VERSION;
#if defined(FLOWKIT_WITH_CUDA)
  m.attr("cuda_build") = py::make_tuple(FLOWKIT_CUDA_VERSION, FLOWKIT_CUDA_ARCHITECTURES);
#else
  m.attr("cuda_build") = py::none();
#endif
  m.def("simd_levels", &simd_levels);
  m.def("set_simd", &set_simd, py::arg("name"));
  m.def("simd_level", [] { return std::string(kernels().level); });
  m.def(
      "pyramid_sizes",
      [](int height, int width, const py::dict& params) {
        std::vector<std::pair<int, int>> sizes;
        for (const Size& s : pyramid_sizes({width, height}, params_from(params))) sizes.emplace_back(s.height, s.width);
        return sizes;
      },
      py::arg("height"), py::arg("width"), py::arg("params"));
  m.def("tvl1_flow", &tvl1_flow, py::arg("frames0"), py::arg("frames1"), py::arg("params"), py::arg("lo"),
        py::arg("hi"), py::arg("initial_flow"), py::arg("threads"));
  m.def("tvl1_flow_blocks", &tvl1_flow_on_blocks, py::arg("frames0"), py::arg("frames1"), py::arg("params"),
        py::arg("lo"), py::arg("hi"), py::arg("initial_flow"), py::arg("limits"));
  m.def("strain_tensor", &strain_tensor_batch, py::arg("flow"), py::arg("threads"));
  m.def("strain_magnitude", &strain_magnitude_batch, py::arg("flow"), py::arg("variant"), py::arg("threads"));
  m.def("cuda_devices", &cuda_device_list);
  m.def("strain_tensor_cuda", &strain_tensor_on_gpu, py::arg("flow"));
  if (const char* level = std::getenv("FLOWKIT_SIMD")) set_simd(level);
}
