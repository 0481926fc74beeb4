#include <stdexcept>

#include "bindings.h"

namespace flowkit {

TVL1Params params_from(const py::dict& d) {
  const auto number = [&](const char* name) { return d[name].cast<double>(); };
  const auto whole = [&](const char* name) { return d[name].cast<int>(); };
  const std::map<std::string, Interpolation> interpolations = {{"linear", Interpolation::linear},
                                                               {"cubic", Interpolation::cubic}};
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
  p.coarse_warps = whole("coarse_warps");
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
  p.residual_norm = choice<ResidualNorm>(
      d, "residual_norm", {{"charbonnier", ResidualNorm::charbonnier}, {"cauchy", ResidualNorm::cauchy}});
  p.rounding = choice<Rounding>(d, "rounding", {{"opencv", Rounding::opencv}, {"fast", Rounding::fast}});
  p.affine_reference = d["affine_reference"].cast<bool>();
  p.carry_dual = d["carry_dual"].cast<bool>();
  p.gradient_floor = number("gradient_floor");
  p.stretch = d["stretch"].cast<bool>();
  p.smoothing = number("smoothing");
  p.pyramid_blur = number("pyramid_blur");
  p.high_pass = number("high_pass");
  p.high_pass_residual = d["high_pass_residual"].cast<bool>();
  p.pyramid_kernel = choice<Interpolation>(d, "pyramid_kernel", interpolations);
  p.grid = choice<Alignment>(d, "grid", {{"centre", Alignment::centre}, {"corner", Alignment::corner}});
  p.upsampling = choice<Interpolation>(d, "upsampling", interpolations);
  p.upsampling_exact = d["upsampling_exact"].cast<bool>();
  p.flow_smoothing = number("flow_smoothing");
  p.flow_edge = number("flow_edge");
  p.refit_steps = whole("refit_steps");
  p.refit_sigma = number("refit_sigma");
  p.refit_smoothing = number("refit_smoothing");
  p.refit_widening = number("refit_widening");
  p.refit_from = number("refit_from");
  p.refit_whole = number("refit_whole");
  p.refit_credit = number("refit_credit");
  p.refit_noise_limit = number("refit_noise_limit");
  return p;
}

Size size_of(const py::array& frames) { return {static_cast<int>(frames.shape(2)), static_cast<int>(frames.shape(1))}; }

ValueRange value_range(double lo, double hi) { return {static_cast<float>(lo), static_cast<float>(255.0 / (hi - lo))}; }

namespace {

Pixel pixel_of(const py::array& frames) {
  if (frames.dtype().kind() == 'f' && frames.itemsize() == 4) return Pixel::f32;
  if (frames.dtype().kind() == 'u' && frames.itemsize() == 1) return Pixel::u8;
  if (frames.dtype().kind() == 'u' && frames.itemsize() == 2) return Pixel::u16;
  throw std::invalid_argument("frames must be uint8, uint16 or float32");
}

}  // namespace

FrameBatch frame_batch(const py::array& frames) {
  return {static_cast<const char*>(frames.data()), frames.strides(0), frames.strides(1), frames.strides(2),
          pixel_of(frames)};
}

Size flow_size(const Floats& flow) { return {static_cast<int>(flow.shape(3)), static_cast<int>(flow.shape(2))}; }

FlowFeature feature_from(const std::string& name) {
  const std::map<std::string, FlowFeature> known = {{"tensor", FlowFeature::tensor},
                                                    {"magnitude", FlowFeature::magnitude},
                                                    {"cube", FlowFeature::cube},
                                                    {"half_cube", FlowFeature::half_cube}};
  return known.at(name);
}

py::array feature_array(FlowFeature feature, const Floats& flow) {
  std::vector<py::ssize_t> shape = {flow.shape(0), planes_of(feature), flow.shape(2), flow.shape(3)};
  if (planes_of(feature) == 1) shape.erase(shape.begin() + 1);
  return py::array(feature == FlowFeature::half_cube ? py::dtype::of<std::uint16_t>() : py::dtype::of<float>(), shape);
}

}  // namespace flowkit
