// The Python face of csrc: converts arguments, releases the interpreter, calls. flowkit/motion/flow.py,
// strain.py and quality.py check every argument before it comes here.
#include "bindings.h"

#include <algorithm>
#include <cstdlib>

#include "../cpu/dispatch.h"
#include "../cpu/parallel.h"
#include "../cpu/quality.h"
#include "../cpu/strain.h"
#include "../cpu/tvl1.h"

namespace flowkit {
namespace {

FrameView frame_of(const FrameBatch& batch, std::size_t i) {
  return {batch.data + static_cast<py::ssize_t>(i) * batch.pair_bytes, batch.row_bytes, batch.column_bytes,
          batch.pixel};
}

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
    // Threads that get no pair of their own help with one.
    const int team = std::max<int>(1, static_cast<int>(threads / n));
    for_each(static_cast<std::size_t>(n), threads, [&] {
      return [&, solver = std::make_unique<TVL1Solver>(size, p, table, team)](std::size_t i) {
        const float* start = initial ? initial + i * stride : nullptr;
        iterations_data[i] =
            solver->solve(frame_of(batch0, i), frame_of(batch1, i), range, start, flow_data + i * stride);
      };
    });
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

Floats flow_quality(const py::array& frames0, const py::array& frames1, double lo, double hi, const Floats& flow,
                    int threads) {
  const FrameBatch batch0 = frame_batch(frames0), batch1 = frame_batch(frames1);
  const py::ssize_t n = frames0.shape(0);
  const ValueRange range = value_range(lo, hi);
  const Size size = size_of(frames0);
  const std::size_t stride = std::size_t{2} * size.width * size.height;
  Floats out({n, py::ssize_t{6}});
  float* target = out.mutable_data();
  const float* source = flow.data();
  {
    py::gil_scoped_release release;
    const KernelTable& table = kernels();
    for_each(static_cast<std::size_t>(n), threads, [&] {
      return [&, gauge = std::make_unique<QualityGauge>(size, table)](std::size_t i) {
        const FlowQuality q = gauge->measure(frame_of(batch0, i), frame_of(batch1, i), range, source + i * stride);
        const float row[] = {q.residual, q.noise, q.brightness, q.gain, q.left, q.scatter_px};
        std::copy(std::begin(row), std::end(row), target + i * std::size(row));
      };
    });
  }
  return out;
}

}  // namespace
}  // namespace flowkit

PYBIND11_MODULE(_core, m) {
  using namespace flowkit;
  m.doc() =
      "The compiled part of flowkit. Private: call it through flowkit.tvl1_flow, flowkit.strain_tensor and so on.";
  m.attr("version") = FLOWKIT_VERSION;
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
  m.def("strain_tensor", &strain_tensor_batch, py::arg("flow"), py::arg("threads"));
  m.def("strain_magnitude", &strain_magnitude_batch, py::arg("flow"), py::arg("variant"), py::arg("threads"));
  m.def("flow_quality", &flow_quality, py::arg("frames0"), py::arg("frames1"), py::arg("lo"), py::arg("hi"),
        py::arg("flow"), py::arg("threads"));
  bind_cuda(m);
  const char* level = std::getenv("FLOWKIT_SIMD");
  if (level && *level) set_simd(level);
}
