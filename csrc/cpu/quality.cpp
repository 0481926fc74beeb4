#include "quality.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "../resample.h"
#include "../taps.h"
#include "grey_frame.h"
#include "sampling.h"

namespace flowkit {

namespace {

// The Gaussian of 7 x 7 whose band the noise is measured in: that of the patches that preset `micro` compares.
constexpr double kBandSigma = 1.3;
// The largest radius of a kernel, as far as a border is mirrored.
constexpr int kMirrored = 3;
// From so many pixels of a frame on every fourth of them is a sample, of smaller ones every second.
constexpr std::int64_t kManyPixels = 128 * 128;
// Side of the mean that is taken off the residual before its noise is measured, px: light is smooth.
constexpr int kWidePixels = 12;
// At the frame's border, that the noise leaves out, px.
constexpr int kMargin = 8;
// The share of the residuals, the largest, that counts no more than the next.
constexpr double kWorst = 0.05;
// A standard deviation over the median of the size, of a normal distribution.
constexpr double kSigmaOfMedian = 1.4826;
// Calibrated with `micro`; benchmarks/study_scatter.py measures how true it is.
constexpr double kScatter = 0.122;
// Grey levels a px: pictures with less have no gradients.
constexpr double kFlat = 1e-3;
// Of light and slopes, whatever the size: pixels from a value to the next.
constexpr int kSparse = 4;
// What a gauge has of each kind.
constexpr int kFramePlanes = 5, kSamplePlanes = 2, kLists = 6;

// ---- sums and order

// term(0) + term(1) + .., in lanes, for the compiler to make vectors of.
template <class T, class Term>
T sum(std::ptrdiff_t count, const Term& term) {
  constexpr int lanes = 16;
  T partial[lanes] = {};
  std::ptrdiff_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (int k = 0; k < lanes; ++k) partial[k] += term(i + k);
  for (int k = 0; i + k < count; ++k) partial[k] += term(i + k);
  T total = 0;
  for (const T part : partial) total += part;
  return total;
}

template <class Term>
double mean(std::ptrdiff_t count, const Term& term) {
  return sum<double>(count, term) / count;
}

// The value of that rank, from 0, in ascending order. None is negative, so that their bits, as integers, have their
// order: the highest of them is found first.
float of_rank(const float* values, std::ptrdiff_t count, std::ptrdiff_t rank) {
  std::int32_t found = 0;
  for (int bit = 30; bit >= 0; --bit) {
    const std::int32_t next = found | std::int32_t{1} << bit;
    const std::int32_t below = sum<std::int32_t>(count, [=](std::ptrdiff_t i) {
      std::int32_t bits;
      std::memcpy(&bits, values + i, sizeof bits);
      return bits < next;
    });
    if (below <= rank) found = next;
  }
  float value;
  std::memcpy(&value, &found, sizeof value);
  return value;
}

float upper_median(const float* values, std::ptrdiff_t count) { return of_rank(values, count, count / 2); }

// ---- planes

// All have a border of kBorder pixels, and room for a kernel's whole vectors behind them.
Grid grid_of(int width, int height) { return {width, height, padded_stride(width + 2 * kMirrored)}; }

// Where a plane's pixel (0, 0) lies in its memory, and how much that is.
std::ptrdiff_t origin(Grid g) { return kBorder * g.stride + kBorder; }
std::size_t plane_floats(Grid g) { return g.stride * (g.height + 2 * kBorder); }

// The pixel of 0 .. n - 1 in whose place i is beyond the border, which is a mirror in the last pixel's middle.
int reflected_index(int i, int n) {
  if (n == 1) return 0;
  while (i < 0 || i >= n) i = i < 0 ? -i : 2 * (n - 1) - i;
  return i;
}

// The first `depth` pixels of the border on all sides; index(i, n) is the pixel of 0 .. n - 1 that i has the value of.
template <class Index>
void fill_border(Grid g, float* plane, int depth, const Index& index) {
  int before[kBorder], behind[kBorder];
  for (int k = 0; k < depth; ++k) {
    before[k] = index(-1 - k, g.width);
    behind[k] = index(g.width + k, g.width);
  }
  for (int y = 0; y < g.height; ++y) {
    float* row = plane + y * g.stride;
    for (int k = 0; k < depth; ++k) {
      row[-1 - k] = row[before[k]];
      row[g.width + k] = row[behind[k]];
    }
  }
  const auto copy_row = [&](int from, int to) {
    std::memcpy(plane + to * g.stride - depth, plane + from * g.stride - depth, sizeof(float) * (g.width + 2 * depth));
  };
  for (int k = 0; k < depth; ++k) {
    copy_row(index(-1 - k, g.height), -1 - k);
    copy_row(index(g.height + k, g.height), g.height + k);
  }
}

// ---- filters

// Side of the mean that is taken off the residual, samples.
int wide_samples(int every) { return kWidePixels / every | 1; }

// The standard deviation that white noise of 1 has behind both filters, g g' - b b' with b the mean of g, `every`
// pixels apart: the root of its power.
double noise_left(const std::vector<float>& taps, int every) {
  const auto overlap = [&](int shift) {  // of g with itself
    double total = 0.0;
    for (int k = -kMirrored; k <= kMirrored; ++k)
      if (std::abs(k + shift) <= kMirrored) total += static_cast<double>(taps[std::abs(k)]) * taps[std::abs(k + shift)];
    return total;
  };
  const int side = wide_samples(every), radius = side / 2;
  double gb = 0.0, bb = 0.0;
  for (int i = -radius; i <= radius; ++i) {
    gb += overlap(every * i) / side;
    for (int j = -radius; j <= radius; ++j) bb += overlap(every * (i - j)) / (side * side);
  }
  const double gg = overlap(0);
  return std::sqrt(gg * gg - 2.0 * gb * gb + bb * bb);
}

// ---- samples

bool is_inside(float at, int side) { return at >= -0.5f && at <= side - 0.5f; }

// Sizes of the values whose match is inside; of all of them where none is. Returns how many.
std::ptrdiff_t sizes_inside(const float* values, const float* inside, std::ptrdiff_t count, float* sizes) {
  std::ptrdiff_t kept = 0;
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    sizes[kept] = std::fabs(values[i]);
    kept += inside[i] != 0.0f;
  }
  if (kept > 0) return kept;
  for (std::ptrdiff_t i = 0; i < count; ++i) sizes[i] = std::fabs(values[i]);
  return count;
}

// ---- light and slopes

struct Line {
  double gain, shift;
};

// The line through (before, after) by least squares; of a flat picture with gain 1.
Line fit_line(const float* before, const float* after, std::ptrdiff_t count) {
  const double mean0 = mean(count, [=](std::ptrdiff_t i) { return before[i]; });
  const double mean1 = mean(count, [=](std::ptrdiff_t i) { return after[i]; });
  const double power = mean(count, [=](std::ptrdiff_t i) { return (before[i] - mean0) * (before[i] - mean0); });
  const double common = mean(count, [=](std::ptrdiff_t i) { return (before[i] - mean0) * (after[i] - mean1); });
  const double gain = power > kFlat ? common / power : 1.0;
  return {gain, mean1 - gain * mean0};
}

// Leaves of the pairs those that the line is near to, as most are. Returns how many.
std::ptrdiff_t keep_near(Line line, float* before, float* after, std::ptrdiff_t count, float* apart) {
  for (std::ptrdiff_t i = 0; i < count; ++i)
    apart[i] = static_cast<float>(std::fabs(after[i] - (line.gain * before[i] + line.shift)));
  const float limit = 3.0f * upper_median(apart, count) + 1e-3f;
  std::ptrdiff_t kept = 0;
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    before[kept] = before[i];
    after[kept] = after[i];
    kept += apart[i] <= limit;
  }
  return kept;
}

// A common motion in whole pixels; none where hardly anything would be left of the frame.
int whole_pixels(double move, int side) { return std::fabs(move) < 0.5 * side ? static_cast<int>(std::rint(move)) : 0; }

double mean_at_samples(Grid g, const float* field, int every) {
  double total = 0.0;
  const int columns = divide_up(g.width, every), rows = divide_up(g.height, every);
  for (int y = 0; y < rows; ++y) {
    const float* row = field + y * every * g.stride;
    total += sum<double>(columns, [=](std::ptrdiff_t x) { return row[x * every]; });
  }
  return total / (static_cast<double>(columns) * rows);
}

// Differences a px over 2 px, downwards and to the right, at every fourth pixel of every fourth row. Returns how many.
std::ptrdiff_t take_slopes(Grid g, const float* field, float* down, float* across) {
  const int columns = g.width / kSparse, rows = g.height / kSparse;
  for (int y = 0; y < rows; ++y)
    for (int x = 0; x < columns; ++x) {
      const float* at = field + kSparse * (y * g.stride + x);
      *down++ = 0.5f * (at[2 * g.stride] - at[0]);
      *across++ = 0.5f * (at[2] - at[0]);
    }
  return static_cast<std::ptrdiff_t>(columns) * rows;
}

void take_off_mean(float* values, std::ptrdiff_t count) {
  const float centre = static_cast<float>(mean(count, [=](std::ptrdiff_t i) { return values[i]; }));
  for (std::ptrdiff_t i = 0; i < count; ++i) values[i] -= centre;
}

int sample_step(Size size) { return std::int64_t{size.width} * size.height >= kManyPixels ? 4 : 2; }

}  // namespace

QualityGauge::QualityGauge(Size size, const KernelTable& kernels)
    : kernels_(kernels),
      every_(sample_step(size)),
      frame_(grid_of(size.width, size.height)),
      samples_(grid_of(divide_up(size.width, every_), divide_up(size.height, every_))),
      flow_{size.width, size.height, size.width},
      band_taps_(gaussian_taps(kBandSigma, kMirrored)),
      mean_taps_(wide_samples(every_) / 2 + 1, 1.0f / wide_samples(every_)),
      noise_left_(noise_left(band_taps_, every_)),
      block_(kFramePlanes * plane_floats(frame_) + kSamplePlanes * plane_floats(samples_) + kLists * samples_in() +
             turned_floats(frame_, kMirrored)) {
  float* next = block_.data();
  const auto take = [&](float*& at, std::size_t count, std::ptrdiff_t start) {
    at = next + start;
    next += count;
  };
  for (float** plane : {&frame0_, &frame1_, &blurred0_, &blurred1_, &along_x_})
    take(*plane, plane_floats(frame_), origin(frame_));
  for (float** plane : {&band_, &means_}) take(*plane, plane_floats(samples_), origin(samples_));
  for (float** list : {&inside_, &difference_, &lists_[0], &lists_[1], &lists_[2], &lists_[3]})
    take(*list, samples_in(), 0);
  columns_ = next;
}

std::ptrdiff_t QualityGauge::samples_in() const { return std::ptrdiff_t{samples_.width} * samples_.height; }

// Rows and columns with a symmetric kernel, the border mirrored.
void QualityGauge::convolve(Grid g, float* in, const std::vector<float>& taps, float* out) {
  fill_border(g, in, kMirrored, reflected_index);
  const Grid whole = {g.width + 2 * kMirrored, g.height + 2 * kMirrored, g.stride};
  const std::ptrdiff_t corner = -kMirrored * (g.stride + 1);
  kernels_.blur(whole, in + corner, out + corner, taps.data(), static_cast<int>(taps.size()) - 1, along_x_ + corner,
                columns_);
}

FlowQuality QualityGauge::measure(const FrameView& frame0, const FrameView& frame1, ValueRange range,
                                  const float* flow) {
  const float *u = flow, *v = flow + flow_.stride * flow_.height;
  load(frame0, frame1, range);
  warp(u, v);
  const double noise = this->noise(), scatter = this->scatter(noise, u, v);
  const Light light = this->light(u, v);
  const auto single = [](double value) { return static_cast<float>(value); };
  return {single(residual()), single(noise),  single(light.brightness),
          single(light.gain), single(left()), single(scatter)};
}

void QualityGauge::load(const FrameView& frame0, const FrameView& frame1, ValueRange range) {
  convert(frame0, frame_, range, frame0_);
  convert(frame1, frame_, range, frame1_);
  convolve(frame_, frame0_, band_taps_, blurred0_);
  convolve(frame_, frame1_, band_taps_, blurred1_);
  for (float* plane : {frame1_, blurred1_}) fill_border(frame_, plane, kBorder, clamp_index);
}

// Lanczos for the blurred: what another kernel takes from the picture would count as noise.
void QualityGauge::warp(const float* u, const float* v) {
  const LanczosWeights& lanczos = lanczos_weights();
  const std::ptrdiff_t stride = frame_.stride;
  std::ptrdiff_t i = 0;
  for (int row = 0; row < samples_.height; ++row)
    for (int column = 0; column < samples_.width; ++column, ++i) {
      const int left = column * every_, top = row * every_;
      const std::ptrdiff_t here = top * stride + left, move = top * flow_.stride + left;
      const float at_x = left + u[move], at_y = top + v[move];
      inside_[i] = is_inside(at_x, flow_.width) && is_inside(at_y, flow_.height);
      const Place x = place_of(at_x, flow_.width), y = place_of(at_y, flow_.height);
      const float match = sampled<4>(frame1_, stride, x, y, cubic_lanes(x.fraction), cubic_lanes(y.fraction));
      const float blurred =
          sampled<kLanczosTaps>(blurred1_, stride, x, y, lanczos.at(x.fraction), lanczos.at(y.fraction));
      difference_[i] = match - frame0_[here];
      band_[row * samples_.stride + column] = blurred - blurred0_[here];
    }
}

double QualityGauge::residual() {
  float* const sizes = lists_[0];
  const std::ptrdiff_t count = sizes_inside(difference_, inside_, samples_in(), sizes);
  const float most = of_rank(sizes, count, static_cast<std::ptrdiff_t>((1.0 - kWorst) * (count - 1)));
  return mean(count, [=](std::ptrdiff_t i) { return std::min(sizes[i], most); });
}

double QualityGauge::noise() {
  convolve(samples_, band_, mean_taps_, means_);
  float *const apart = lists_[0], *const inside = lists_[1], *const sizes = lists_[2];
  const int wanted = kMargin / every_;
  const int margin = std::min(samples_.width, samples_.height) > 4 * wanted ? wanted : 0;
  std::ptrdiff_t inner = 0;
  for (int y = margin; y < samples_.height - margin; ++y)
    for (int x = margin; x < samples_.width - margin; ++x, ++inner) {
      const std::ptrdiff_t i = y * samples_.stride + x;
      apart[inner] = band_[i] - means_[i];
      inside[inner] = inside_[static_cast<std::ptrdiff_t>(y) * samples_.width + x];
    }
  const std::ptrdiff_t count = sizes_inside(apart, inside, inner, sizes);
  return kSigmaOfMedian * upper_median(sizes, count) / (std::sqrt(2.0) * noise_left_);
}

// Of every fourth pixel of every fourth row, once frame1 is moved back by the mean of the flow: not by each pixel's
// own, for what a change of light moves falsely has the light's change hidden in it.
QualityGauge::Light QualityGauge::light(const float* u, const float* v) {
  const int right = whole_pixels(mean_at_samples(flow_, u, every_), flow_.width);
  const int down = whole_pixels(mean_at_samples(flow_, v, every_), flow_.height);
  const std::ptrdiff_t step = down * frame_.stride + right;
  float *const before = lists_[0], *const after = lists_[1];
  std::ptrdiff_t count = 0;
  for (int y = std::max(-down, 0); y < frame_.height - std::max(down, 0); y += kSparse)
    for (int x = std::max(-right, 0); x < frame_.width - std::max(right, 0); x += kSparse, ++count) {
      const std::ptrdiff_t i = y * frame_.stride + x;
      before[count] = blurred0_[i];
      after[count] = blurred1_[i + step];
    }
  Line line = fit_line(before, after, count);
  const std::ptrdiff_t kept = keep_near(line, before, after, count, lists_[2]);
  if (kept < count) line = fit_line(before, after, kept);
  return {mean(kept, [=](std::ptrdiff_t i) { return after[i] - before[i]; }), line.gain};
}

double QualityGauge::left() const {
  return mean(samples_in(), [=](std::ptrdiff_t i) { return 1.0f - inside_[i]; });
}

// (noise^3 TV / gradient^2)^(1/4) up to a factor, in px.
//
// With TV the mean length of the gradient of the flow, without its mean, and the root mean square gradient of the
// picture. The Cramer-Rao bound of a patch is noise over gradient. How many patches are averaged depends on what the
// flow has to follow, and on the weight that `micro` gives to grey levels beside the flow's gradients, so that powers
// of grey levels are left over. Factor and exponents are fitted.
double QualityGauge::scatter(double noise, const float* u, const float* v) {
  float* const* slopes = lists_;
  const std::ptrdiff_t count = take_slopes(flow_, u, slopes[0], slopes[1]);
  if (count == 0) return 0.0;  // too small for any
  take_slopes(flow_, v, slopes[2], slopes[3]);
  for (int k = 0; k < 4; ++k) take_off_mean(slopes[k], count);
  const double variation = mean(count, [=](std::ptrdiff_t i) {
    const float du = slopes[0][i] * slopes[0][i] + slopes[1][i] * slopes[1][i];
    return sqrtf(du + slopes[2][i] * slopes[2][i] + slopes[3][i] * slopes[3][i]);
  });
  take_slopes(frame_, blurred0_, slopes[0], slopes[1]);
  const double gradient = std::sqrt(
      mean(count, [=](std::ptrdiff_t i) { return slopes[0][i] * slopes[0][i] + slopes[1][i] * slopes[1][i]; }));
  return kScatter * std::sqrt(noise * std::sqrt(noise * variation) / std::max(gradient, kFlat));
}

}  // namespace flowkit
