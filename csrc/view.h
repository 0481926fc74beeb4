// Plain views on memory that somebody else owns: what kernels take and give. No view allocates or checks.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)
#define FLOWKIT_HD __host__ __device__ __forceinline__
#define FLOWKIT_UNROLL _Pragma("unroll")
#define FLOWKIT_NO_UNROLL _Pragma("unroll 1")
#else
#define FLOWKIT_HD inline __attribute__((always_inline))
#define FLOWKIT_UNROLL
#define FLOWKIT_NO_UNROLL
#endif

namespace flowkit {

enum class Pixel { u8, u16, f32 };

// A grey image as a caller holds it: any strides, also negative ones; strides in bytes.
struct FrameView {
  const void* data;
  std::ptrdiff_t row_bytes;
  std::ptrdiff_t column_bytes;
  Pixel pixel;
};

// Grey values (x - lo) * gain lie on 0..255.
struct ValueRange {
  float lo;
  float gain;
};

FLOWKIT_HD float grey(float value, ValueRange range) { return (value - range.lo) * range.gain; }

// The same for images whose darkest and brightest pixel, not the same, are to be 0 and 255.
FLOWKIT_HD float stretched(float value, float darkest, float brightest) {
  return (value - darkest) * (255.0f / (brightest - darkest));
}

constexpr int divide_up(int a, int b) { return (a + b - 1) / b; }

// The geometry of a level's planes. Pixel (x, y) of a plane is plane[y * stride + x].
struct Grid {
  int width;
  int height;
  std::ptrdiff_t stride;
};

// The first or the second frames of a batch: any strides, in bytes, also negative ones.
struct FrameBatch {
  const char* data;
  std::ptrdiff_t pair_bytes, row_bytes, column_bytes;
  Pixel pixel;
};

}  // namespace flowkit
