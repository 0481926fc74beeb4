#include <algorithm>
#include <cstdlib>
#include <utility>

#include "cuda_memory.h"
#include "cuda_team.cuh"
#include "device.h"
#include "tvl1_batch.h"
#include "tvl1_cuda.h"

namespace flowkit {

namespace {

// The largest cluster that the current device can run of blocks with all its shared memory: parts of a GPU (MIG) may
// have room for small ones only.
template <class Kernel>
int most_ranks(Kernel kernel, const DeviceLimits& limits) {
  check(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(limits.shared_bytes)),
      "cudaFuncSetAttribute");
  for (int ranks = kMostRanks; ranks > 1; --ranks) {
    cudaLaunchAttribute cluster = cluster_of(ranks);
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(static_cast<unsigned>(ranks));
    config.blockDim = dim3(static_cast<unsigned>(limits.most_threads));
    config.dynamicSmemBytes = limits.shared_bytes;
    config.attrs = &cluster;
    config.numAttrs = 1;
    int clusters = 0;
    const cudaError_t status = cudaOccupancyMaxActiveClusters(&clusters, kernel, &config);
    if (status == cudaSuccess && clusters > 0) return ranks;
    cudaGetLastError();
  }
  return 1;
}

// What the current device offers the iteration. The kernel itself knows for how many threads it was compiled, whichever
// architecture's code was loaded.
template <class Config>
DeviceLimits ask_for_limits(const std::string& variant, int device) {
  DeviceLimits limits;
  choose_variant(variant, limits);
  const auto kernel = run_program<Iterate<Config>>;
  cudaFuncAttributes attributes;
  check(cudaFuncGetAttributes(&attributes, kernel), "cudaFuncGetAttributes");
  limits.most_threads = attributes.maxThreadsPerBlock;
  limits.shared_bytes = static_cast<std::size_t>(device_traits(device).shared_bytes) - attributes.sharedSizeBytes;
  if (attributes.binaryVersion >= 90) limits.most_ranks = most_ranks(kernel, limits);
  return limits;
}

DeviceLimits device_limits(const TVL1Params& params, int device) {
  const char* word = std::getenv("FLOWKIT_CUDA_VARIANT");
  const std::string variant = word ? word : "";
  DeviceLimits limits;
  with_config(params, [&](auto config) {
    using Config = decltype(config);
    static Kept<std::pair<int, std::string>, DeviceLimits> known;
    limits = known.get({device, variant}, [&] { return ask_for_limits<Config>(variant, device); });
  });
  return limits;
}

// Frames of a chunk, contiguous on the device.
FrameBatch contiguous(const void* data, Size size, std::size_t pixel_bytes, Pixel pixel) {
  const std::ptrdiff_t column = static_cast<std::ptrdiff_t>(pixel_bytes), row = size.width * column;
  return {static_cast<const char*>(data), row * size.height, row, column, pixel};
}

std::size_t bytes_of(Pixel pixel) { return pixel == Pixel::u8 ? 1 : (pixel == Pixel::u16 ? 2 : 4); }

// A chunk's memory on the device beside the workspace.
struct Chunk {
  std::size_t frame_bytes, flow_bytes;  // of one pair: a frame; a flow
  DeviceBuffer frames0, frames1, initial, flow, iterations;

  Chunk(std::size_t frame_bytes, std::size_t flow_bytes, std::size_t pairs, bool has_initial, cudaStream_t stream)
      : frame_bytes(frame_bytes),
        flow_bytes(flow_bytes),
        frames0(frame_bytes * pairs, stream),
        frames1(frame_bytes * pairs, stream),
        initial(has_initial ? flow_bytes * pairs : 0, stream),
        flow(flow_bytes * pairs, stream),
        iterations(sizeof(std::int32_t) * pairs, stream) {}
};

// Pairs first .. first + count - 1 of host memory through the chunk.
void run_chunk(const BatchArguments& host, std::size_t first, std::size_t count, Size size, const TVL1Plan& plan,
               const Chunk& chunk, void* workspace, DeviceStream on) {
  const cudaStream_t stream = static_cast<cudaStream_t>(on.stream);
  const Pixel pixel = host.frames[0].pixel;
  const std::size_t pixel_bytes = bytes_of(pixel), flow_floats = chunk.flow_bytes / sizeof(float);
  const BatchArguments arguments = {{contiguous(chunk.frames0.as<void>(), size, pixel_bytes, pixel),
                                     contiguous(chunk.frames1.as<void>(), size, pixel_bytes, pixel)},
                                    host.range,
                                    chunk.initial.as<float>(),
                                    chunk.flow.as<float>(),
                                    chunk.iterations.as<std::int32_t>()};
  const auto in = cudaMemcpyHostToDevice, out = cudaMemcpyDeviceToHost;
  const std::size_t frames_bytes = count * chunk.frame_bytes, at = first * chunk.frame_bytes;
  copy(chunk.frames0.as<void>(), host.frames[0].data + at, frames_bytes, in, stream);
  copy(chunk.frames1.as<void>(), host.frames[1].data + at, frames_bytes, in, stream);
  if (host.initial_flow)
    copy(chunk.initial.as<void>(), host.initial_flow + first * flow_floats, count * chunk.flow_bytes, in, stream);
  const CudaLauncher launcher(on);
  TVL1Batch<const CudaLauncher>(launcher, plan, workspace, static_cast<int>(count)).run(arguments);
  copy(host.flow + first * flow_floats, arguments.flow, count * chunk.flow_bytes, out, stream);
  copy(host.iterations + first, arguments.iterations, count * sizeof(std::int32_t), out, stream);
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

}  // namespace

std::size_t tvl1_workspace_bytes(Size size, int pairs, const TVL1Params& params, int device) {
  const CurrentDevice current(device);
  return TVL1Plan(size, params, device_limits(params, device)).workspace_bytes(pairs);
}

void tvl1_flow_cuda(const BatchArguments& arguments, Size size, int pairs, const TVL1Params& params, void* workspace,
                    std::size_t workspace_bytes, DeviceStream on) {
  const CurrentDevice current(on.device);
  const TVL1Plan plan(size, params, device_limits(params, on.device));
  const std::size_t needed = plan.workspace_bytes(pairs);
  if (workspace_bytes < needed)
    throw std::invalid_argument("a workspace of " + std::to_string(workspace_bytes) + " bytes, where " +
                                std::to_string(needed) + " are needed");
  const CudaLauncher launcher(on);
  TVL1Batch<const CudaLauncher>(launcher, plan, workspace, pairs).run(arguments);
}

void tvl1_flow_on_gpu(const BatchArguments& arguments, Size size, std::size_t pairs, const TVL1Params& params,
                      int device) {
  const CurrentDevice current(device);
  const TVL1Plan plan(size, params, device_limits(params, device));
  const std::size_t area = static_cast<std::size_t>(size.width) * size.height;
  const std::size_t frame_bytes = area * bytes_of(arguments.frames[0].pixel), flow_bytes = 2 * area * sizeof(float);
  const std::size_t pair_bytes = plan.workspace_bytes(1) + 2 * frame_bytes + 2 * flow_bytes, free = free_bytes();
  const std::size_t most = std::min<std::size_t>({pairs, fitting(free, pair_bytes), 4096});
  with_room(most, "pair", size, pair_bytes, free, [&] {
    const Stream stream;
    const Chunk chunk(frame_bytes, flow_bytes, most, arguments.initial_flow != nullptr, stream.get());
    const DeviceBuffer workspace(plan.workspace_bytes(static_cast<int>(most)), stream.get());
    for (std::size_t first = 0; first < pairs; first += most)
      run_chunk(arguments, first, std::min(most, pairs - first), size, plan, chunk, workspace.as<void>(),
                {device, stream.get()});
  });
}

}  // namespace flowkit
