#include "strain.h"

#include <algorithm>

namespace flowkit {

namespace {

// The two components of a flow at (x, y), 0 outside the image.
struct ZeroPadded {
  const float* plane;
  int width, height;
  float operator()(int x, int y) const {
    return x < 0 || y < 0 || x >= width || y >= height ? 0.0f : plane[static_cast<std::ptrdiff_t>(y) * width + x];
  }
};

// 3 x 3 Sobel derivatives without their 1/8.
float sobel_x(const ZeroPadded& f, int x, int y) {
  return (f(x + 1, y - 1) - f(x - 1, y - 1)) + 2.0f * (f(x + 1, y) - f(x - 1, y)) + (f(x + 1, y + 1) - f(x - 1, y + 1));
}

float sobel_y(const ZeroPadded& f, int x, int y) {
  return (f(x - 1, y + 1) - f(x - 1, y - 1)) + 2.0f * (f(x, y + 1) - f(x, y - 1)) + (f(x + 1, y + 1) - f(x + 1, y - 1));
}

template <class Visit>
void each_pixel(const FlowView& flow, const Visit& visit) {
  std::ptrdiff_t i = 0;
  for (int y = 0; y < flow.height; ++y)
    for (int x = 0; x < flow.width; ++x) visit(x, y, i++);
}

// visit(i, strain) for every pixel i. Inside a row nothing depends on x, so the compiler makes vectors of it.
template <class Visit>
void each_strain(const FlowView& flow, const Visit& visit) {
  const std::ptrdiff_t area = static_cast<std::ptrdiff_t>(flow.width) * flow.height;
  for (int y = 0; y < flow.height; ++y) {
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(y) * flow.width;
    const float* u = flow.data + row;
    const float* v = u + area;
    const Axis down = axis_at(y, flow.height, flow.width);
    visit(row, strain_at(flow, 0, y));
    for (int x = 1; x < flow.width - 1; ++x) visit(row + x, strain_at(u + x, v + x, {-1, 1, 0.5f}, down));
    visit(row + flow.width - 1, strain_at(flow, flow.width - 1, y));
  }
}

}  // namespace

void strain_tensor(const FlowView& flow, float* __restrict out) {
  const std::ptrdiff_t area = static_cast<std::ptrdiff_t>(flow.width) * flow.height;
  each_strain(flow, [=](std::ptrdiff_t i, const Strain& e) {
    out[i] = e.exx;
    out[area + i] = e.eyy;
    out[2 * area + i] = e.exy;
  });
}

void strain_magnitude(const FlowView& flow, float* __restrict out) {
  each_strain(flow, [=](std::ptrdiff_t i, const Strain& e) { out[i] = magnitude(e); });
}

void strain_magnitude_meb(const FlowView& flow, float* out) {
  const std::ptrdiff_t area = static_cast<std::ptrdiff_t>(flow.width) * flow.height;
  const ZeroPadded u = {flow.data, flow.width, flow.height}, v = {flow.data + area, flow.width, flow.height};
  each_pixel(flow, [&](int x, int y, std::ptrdiff_t i) {
    const float u_row = sobel_y(u, x, y), u_column = sobel_x(u, x, y);
    const float v_row = sobel_y(v, x, y), v_column = sobel_x(v, x, y);
    out[i] = sqrtf(u_row * u_row + v_column * v_column + 0.5f * (u_column * u_column + v_row * v_row));
  });
}

void strain_magnitude_softnet(const FlowView& flow, float* out) {
  const std::ptrdiff_t area = static_cast<std::ptrdiff_t>(flow.width) * flow.height;
  each_pixel(flow, [&](int x, int y, std::ptrdiff_t i) {
    // The last column and row repeat their neighbour's value.
    const float* u =
        flow.data + std::ptrdiff_t{std::min(y, flow.height - 2)} * flow.width + std::min(x, flow.width - 2);
    const float* v = u + area;
    const float ux = u[1] - u[0], vy = v[flow.width] - v[0];
    const float shear = (u[flow.width] - u[0]) + (v[1] - v[0]);
    out[i] = sqrtf(ux * ux + vy * vy + 0.5f * shear * shear);
  });
}

}  // namespace flowkit
