// A frame as a caller holds it, to a plane of grey values.
#pragma once

#include <cstring>

#include "../view.h"

namespace flowkit {

template <class T>
void convert_row(const char* row, std::ptrdiff_t column_bytes, int width, ValueRange range, float* out) {
  for (int x = 0; x < width; ++x) {
    T value;  // bytewise, since strides may leave a pixel unaligned
    std::memcpy(&value, row + x * column_bytes, sizeof value);
    out[x] = grey(static_cast<float>(value), range);
  }
}

template <class T>
void convert(const FrameView& frame, const Grid& g, ValueRange range, float* out) {
  for (int y = 0; y < g.height; ++y) {
    const char* row = static_cast<const char*>(frame.data) + y * frame.row_bytes;
    // Of neighbours in memory the compiler makes vectors.
    if (frame.column_bytes == sizeof(T))
      convert_row<T>(row, sizeof(T), g.width, range, out + y * g.stride);
    else
      convert_row<T>(row, frame.column_bytes, g.width, range, out + y * g.stride);
  }
}

inline void convert(const FrameView& frame, const Grid& g, ValueRange range, float* out) {
  switch (frame.pixel) {
    case Pixel::u8: return convert<std::uint8_t>(frame, g, range, out);
    case Pixel::u16: return convert<std::uint16_t>(frame, g, range, out);
    case Pixel::f32: return convert<float>(frame, g, range, out);
  }
}

}  // namespace flowkit
