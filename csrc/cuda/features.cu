#include "features.h"

#include "cuda_memory.h"
#include "cuda_team.cuh"
#include "device.h"
#include "flow_finite.h"

namespace flowkit {

void flow_feature_cuda(FlowFeature feature, const float* flow, Size size, int n, void* out, DeviceStream on) {
  const CurrentDevice current(on.device);
  const CudaLauncher launcher(on);
  launch_feature(launcher, feature, flow, size, n, out);
}

void flow_feature_on_gpu(FlowFeature feature, const float* flow, Size size, std::size_t n, void* out, int device) {
  const CurrentDevice current(device);
  const std::size_t area = static_cast<std::size_t>(size.width) * size.height;
  const std::size_t flow_bytes = 2 * area * sizeof(float);
  const std::size_t out_bytes = planes_of(feature) * area * value_bytes_of(feature);
  const std::size_t free = free_bytes();
  const std::size_t most = std::min<std::size_t>({n, fitting(free, flow_bytes + out_bytes), 65536});
  with_room(most, "flow", size, flow_bytes + out_bytes, free, [&] {
    const Stream stream;
    const CudaLauncher launcher({device, stream.get()});
    const DeviceBuffer in(most * flow_bytes, stream.get()), result(most * out_bytes, stream.get());
    for (std::size_t first = 0; first < n; first += most) {
      const std::size_t count = std::min(most, n - first);
      copy(in.as<void>(), flow + first * 2 * area, count * flow_bytes, cudaMemcpyHostToDevice, stream.get());
      launch_feature(launcher, feature, in.as<float>(), size, static_cast<int>(count), result.as<void>());
      copy(static_cast<char*>(out) + first * out_bytes, result.as<void>(), count * out_bytes, cudaMemcpyDeviceToHost,
           stream.get());
      check(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
    }
  });
}

void flow_finite_cuda(const float* flow, Size size, int n, std::uint8_t* finite, DeviceStream on) {
  const CurrentDevice current(on.device);
  const CudaLauncher launcher(on);
  launch_flow_finite(launcher, flow, size, n, finite);
}

}  // namespace flowkit
