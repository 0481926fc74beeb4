// Programs of what is computed from a flow: strain, and the motion cube (u, v, strain magnitude).
#pragma once

#include <limits>
#include <stdexcept>
#include <string>

#include "../flow_feature.h"
#include "../strain_math.h"
#include "batch.h"

#if !defined(__CUDACC__)
#include <string.h>
#endif

namespace flowkit {

FLOWKIT_HD std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

// IEEE half precision, rounded to nearest, ties to even.
FLOWKIT_HD std::uint16_t half_bits(float value) {
  const std::uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  std::uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;  // NaN
  } else if (magnitude >= 0x477ff000u) {
    half = 0x7c00u;  // infinity: from halfway beyond the largest half on
  } else if (magnitude >= 0x38800000u) {
    half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  } else {
    half = bits_of(fabsf(value) + 0.5f) - 0x3f000000u;  // subnormal: the last bit of 0.5 is the half's
  }
  return static_cast<std::uint16_t>(sign | half);
}

FLOWKIT_HD void put(float* to, float value) { *to = value; }
FLOWKIT_HD void put(std::uint16_t* to, float value) { *to = half_bits(value); }

struct FlowPixel {
  std::ptrdiff_t area, index;  // of a plane; of the pixel in it
  FlowView flow;

  FLOWKIT_DEVICE FlowPixel(const float* flows, Size size, int pair, int x, int y)
      : area(static_cast<std::ptrdiff_t>(size.width) * size.height),
        index(static_cast<std::ptrdiff_t>(y) * size.width + x),
        flow{flows + pair * 2 * area, size.width, size.height} {}
};

struct StrainTensor {
  Size size;
  const float* flow;  // (n, 2, h, w)
  float* tensor;      // (n, 3, h, w)

  FLOWKIT_DEVICE void operator()(int pair, int, int x, int y) const {
    const FlowPixel at(flow, size, pair, x, y);
    const Strain e = strain_at(at.flow, x, y);
    float* to = tensor + pair * 3 * at.area + at.index;
    to[0] = e.exx;
    to[at.area] = e.eyy;
    to[2 * at.area] = e.exy;
  }
};

struct StrainMagnitude {
  Size size;
  const float* flow;  // (n, 2, h, w)
  float* strain;      // (n, h, w)

  FLOWKIT_DEVICE void operator()(int pair, int, int x, int y) const {
    const FlowPixel at(flow, size, pair, x, y);
    strain[pair * at.area + at.index] = magnitude(strain_at(at.flow, x, y));
  }
};

// Value is float, or std::uint16_t for the bits of a half.
template <class Value>
struct MotionCube {
  Size size;
  const float* flow;  // (n, 2, h, w)
  Value* cube;        // (n, 3, h, w)

  FLOWKIT_DEVICE void operator()(int pair, int, int x, int y) const {
    const FlowPixel at(flow, size, pair, x, y);
    Value* to = cube + pair * 3 * at.area + at.index;
    put(to, at.flow.data[at.index]);
    put(to + at.area, at.flow.data[at.area + at.index]);
    put(to + 2 * at.area, magnitude(strain_at(at.flow, x, y)));
  }
};

template <class Launcher, class Body>
void launch_feature(Launcher& launcher, Size size, int n, const Body& body) {
  // Pixels are counted in 32 bits, to the end of the last tile.
  if (std::int64_t{size.width} * size.height > std::numeric_limits<int>::max() - EachPixel<Body>::kTile)
    throw std::invalid_argument("flows of " + std::to_string(size.width) + " x " + std::to_string(size.height) +
                                " px are too large for the GPU");
  const EachPixel<Body> program(size, n, 1, body);
  launcher.loop(program, program.all_tiles);
}

// Of n flows; the result has planes_of(feature) planes a flow, of value_bytes_of(feature) a value.
template <class Launcher>
void launch_feature(Launcher& launcher, FlowFeature feature, const float* flow, Size size, int n, void* out) {
  float* floats = static_cast<float*>(out);
  switch (feature) {
    case FlowFeature::tensor: return launch_feature(launcher, size, n, StrainTensor{size, flow, floats});
    case FlowFeature::magnitude: return launch_feature(launcher, size, n, StrainMagnitude{size, flow, floats});
    case FlowFeature::cube: return launch_feature(launcher, size, n, MotionCube<float>{size, flow, floats});
    case FlowFeature::half_cube:
      return launch_feature(launcher, size, n, MotionCube<std::uint16_t>{size, flow, static_cast<std::uint16_t*>(out)});
  }
}

}  // namespace flowkit
