// The program of the motion cube, (u, v, strain magnitude), in single or half precision.
#pragma once

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

// Value is float, or std::uint16_t for the bits of a half.
template <class Value>
struct MotionCube {
  Size size;
  const float* flow;  // (pairs, 2, h, w)
  Value* cube;        // (pairs, 3, h, w)

  FLOWKIT_DEVICE void operator()(int pair, int, int x, int y) const {
    const std::ptrdiff_t area = static_cast<std::ptrdiff_t>(size.width) * size.height;
    const FlowView view = {flow + pair * 2 * area, size.width, size.height};
    const std::ptrdiff_t i = static_cast<std::ptrdiff_t>(y) * size.width + x;
    Value* to = cube + pair * 3 * area + i;
    put(to, view.data[i]);
    put(to + area, view.data[area + i]);
    put(to + 2 * area, magnitude(strain_at(view, x, y)));
  }
};

template <class Value, class Launcher>
void launch_motion_cube(Launcher& launcher, Size size, int pairs, const float* flow, Value* cube) {
  const EachPixel<MotionCube<Value>> program(size, pairs, 1, {size, flow, cube});
  launcher.loop(program, program.all_tiles);
}

}  // namespace flowkit
