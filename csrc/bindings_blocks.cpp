// The block programs of the CUDA solver on the host, for tests.
#include "bindings.h"
#include "cuda/host_blocks.h"
#include "tvl1_math.h"

namespace flowkit {
namespace {

// limits: shared_bytes, max_ranks, max_threads, tile_iterations, variant (as choose_variant takes it); what is left out
// is as on a GPU of compute capability 9.0.
DeviceLimits limits_from(const py::dict& d) {
  const auto whole = [&](const char* name, int otherwise) {
    return d.contains(name) ? d[name].cast<int>() : otherwise;
  };
  DeviceLimits limits;
  limits.shared_bytes = static_cast<std::size_t>(whole("shared_bytes", 232448));
  limits.most_ranks = whole("max_ranks", kMostRanks);
  limits.most_threads = whole("max_threads", limits.most_threads);
  limits.tile_iterations = whole("tile_iterations", limits.tile_iterations);
  if (d.contains("variant")) choose_variant(d["variant"].cast<std::string>(), limits);
  return limits;
}

Order order_from(const py::dict& options) {
  const std::map<std::string, Order> known = {
      {"forward", Order::forward}, {"reverse", Order::reverse}, {"shuffled", Order::shuffled}};
  return options.contains("order") ? choice(options, "order", known) : Order::forward;
}

// limits may also have order: "forward", "reverse" or "shuffled", in which teams and the threads of a phase run.
py::tuple tvl1_flow(const py::array& frames0, const py::array& frames1, const py::dict& params, double lo, double hi,
                    const std::optional<Floats>& initial_flow, const py::dict& limits) {
  const Size size = size_of(frames0);
  const py::ssize_t n = frames0.shape(0);
  const Order order = order_from(limits);
  Floats flow({n, py::ssize_t{2}, frames0.shape(1), frames0.shape(2)});
  py::array_t<int32_t> iterations(n);
  const BatchArguments arguments = {{frame_batch(frames0), frame_batch(frames1)},
                                    value_range(lo, hi),
                                    initial_flow ? initial_flow->data() : nullptr,
                                    flow.mutable_data(),
                                    iterations.mutable_data()};
  const TVL1Params p = params_from(params);
  const DeviceLimits device = limits_from(limits);
  {
    py::gil_scoped_release release;
    tvl1_flow_blocks(arguments, size, static_cast<int>(n), p, device, order);
  }
  return py::make_tuple(flow, iterations);
}

// flow: (n, 2, h, w).
py::array flow_feature(const std::string& name, const Floats& flow) {
  const FlowFeature feature = feature_from(name);
  py::array out = feature_array(feature, flow);
  flow_feature_blocks(feature, flow.data(), flow_size(flow), static_cast<int>(flow.shape(0)), out.mutable_data());
  return out;
}

// flow: (n, 2, h, w). (n) uint8; options: order, as of tvl1_flow.
py::array_t<std::uint8_t> flow_finite(const Floats& flow, const py::dict& options) {
  py::array_t<std::uint8_t> finite(flow.shape(0));
  flow_finite_blocks(flow.data(), flow_size(flow), static_cast<int>(flow.shape(0)), finite.mutable_data(),
                     order_from(options));
  return finite;
}

// How each level would be iterated, full resolution first, as dicts.
py::list plans(int height, int width, const py::dict& params, const py::dict& limits) {
  py::list levels;
  for (const IterationPlan& p : iteration_plans({width, height}, params_from(params), limits_from(limits))) {
    py::dict level;
    level["variant"] = p.resident ? "resident" : "tiled";
    level["ranks"] = p.ranks;
    level["columns"] = p.columns;
    level["rows"] = p.rows;
    level["threads"] = p.threads();
    level["shared_bytes"] = p.shared_bytes();
    level["tiles_x"] = p.tiles_x;
    level["tiles_y"] = p.tiles_y;
    level["iterations"] = p.iterations;
    levels.append(level);
  }
  return levels;
}

// The scalar arithmetic of the programs, element by element.
Floats scalar_arithmetic(const std::string& name, const Floats& a, const Floats& b) {
  const std::map<std::string, float (*)(float, float)> known = {
      {"quotient", [](float x, float y) { return quotient_by(x, y, inverse(y)); }},
      {"floored_root", [](float x, float) { return floored_root(x); }},
      {"length", [](float x, float y) { return length(x, y); }}};
  const auto operation = known.at(name);
  Floats out(a.size());
  for (py::ssize_t i = 0; i < a.size(); ++i) out.mutable_data()[i] = operation(a.data()[i], b.data()[i]);
  return out;
}

}  // namespace

void bind_blocks(py::module_& m) {
  m.def("tvl1_flow_blocks", &tvl1_flow, py::arg("frames0"), py::arg("frames1"), py::arg("params"), py::arg("lo"),
        py::arg("hi"), py::arg("initial_flow"), py::arg("limits"));
  m.def("flow_feature_blocks", &flow_feature, py::arg("feature"), py::arg("flow"));
  m.def("flow_finite_blocks", &flow_finite, py::arg("flow"), py::arg("options"));
  m.def("iteration_plans", &plans, py::arg("height"), py::arg("width"), py::arg("params"), py::arg("limits"));
  m.def("scalar_arithmetic", &scalar_arithmetic, py::arg("name"), py::arg("a"), py::arg("b"));
}

}  // namespace flowkit
