// Runs block programs on a GPU. All that differs from host_team.h is here.
#pragma once

#include <cooperative_groups.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <stdexcept>
#include <tuple>

#include "check.h"
#include "device_stream.h"
#include "kept.h"
#include "team.h"

namespace flowkit {

// Clusters exist from compute capability 9.0 on.
template <bool clusters>
class CudaTeam {
 public:
  // `ranks` stands among the kernel's parameters, where it takes no register.
  FLOWKIT_DEVICE explicit CudaTeam(const int& ranks) : ranks_(ranks) {}

  FLOWKIT_DEVICE int index() const { return ranks_ == 1 ? blockIdx.x : blockIdx.x / ranks_; }
  FLOWKIT_DEVICE int teams() const { return ranks_ == 1 ? gridDim.x : gridDim.x / ranks_; }
  // The ranks of a team are consecutive blocks: a cluster of one dimension.
  FLOWKIT_DEVICE int rank() const {
    int rank = 0;
#if __CUDA_ARCH__ >= 900
    if constexpr (clusters) asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
    return rank;
  }
  FLOWKIT_DEVICE int ranks() const { return ranks_; }

  // The caller's own rank is always meant, so that the compiler sees plain shared memory.
  template <class T>
  FLOWKIT_DEVICE T* shared(int) const {
    extern __shared__ Float4 block_memory[];
    return reinterpret_cast<T*>(block_memory);
  }
  template <class T>
  FLOWKIT_DEVICE T* remote(int rank) const {
#if __CUDA_ARCH__ >= 900
    if constexpr (clusters) {
      if (ranks_ > 1) {
        // Opaque, so that addresses which few threads need are not kept in registers through a loop.
        asm volatile("" : "+r"(rank));
        return cooperative_groups::this_cluster().map_shared_rank(shared<T>(rank), rank);
      }
    }
#endif
    return shared<T>(rank);
  }

  template <class Body>
  FLOWKIT_DEVICE void for_each(const Body& body) const {
    body(rank(), static_cast<int>(threadIdx.x));
    barrier();
  }

  template <class Body, class Write>
  FLOWKIT_DEVICE void for_each(const Body& body, const Write& write) const {
    const int thread = static_cast<int>(threadIdx.x);
    auto sum = body(rank(), thread);
    FLOWKIT_UNROLL
    for (int distance = kWarp / 2; distance > 0; distance /= 2) sum = sum + __shfl_xor_sync(~0u, sum, distance);
    if (thread % kWarp == 0) write(rank(), thread / kWarp, sum);
    barrier();
  }

  template <class State>
  class PerThread {
   public:
    FLOWKIT_DEVICE explicit PerThread(const CudaTeam&) {}
    FLOWKIT_DEVICE State& operator()(int, int) { return state_; }

   private:
    State state_;
  };

 private:
  FLOWKIT_DEVICE void barrier() const {
#if __CUDA_ARCH__ >= 900
    if constexpr (clusters) {
      if (ranks_ > 1) {
        asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
        return;
      }
    }
#endif
    __syncthreads();
  }

  const int& ranks_;
};

#if defined(__CUDA_ARCH__)
constexpr int kArchitecture = __CUDA_ARCH__;
#else
constexpr int kArchitecture = 0;  // the host's pass over the code: launch bounds mean nothing there
#endif

template <class P>
constexpr int launch_bound() {
  if constexpr (P::kClusters)
    return P::most_threads(kArchitecture);
  else
    return P::kMostThreads;
}

template <class P>
__global__ void __launch_bounds__(launch_bound<P>()) run_program(const __grid_constant__ P program) {
  if constexpr (P::kClusters) {
    CudaTeam<true> team(program.plan.ranks);
    program(team);
  } else {
    const int alone = 1;
    CudaTeam<false> team(alone);
    program(team);
  }
}

inline cudaLaunchAttribute cluster_of(int ranks) {
  cudaLaunchAttribute cluster = {};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = static_cast<unsigned>(ranks);
  cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  return cluster;
}

// What a launcher has to know of a device.
struct DeviceTraits {
  int multiprocessors, shared_bytes;  // the most of a block
};

inline DeviceTraits device_traits(int device) {
  static Kept<int, DeviceTraits> known;
  return known.get(device, [&] {
    DeviceTraits traits;
    check(cudaDeviceGetAttribute(&traits.multiprocessors, cudaDevAttrMultiProcessorCount, device),
          "cudaDeviceGetAttribute");
    check(cudaDeviceGetAttribute(&traits.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
          "cudaDeviceGetAttribute");
    return traits;
  });
}

// Launches on one stream of the current device; throws where a call fails. What it finds out of a device and a kernel
// holds for all launchers of the process.
class CudaLauncher {
 public:
  explicit CudaLauncher(DeviceStream on)
      : device_(on.device), stream_(static_cast<cudaStream_t>(on.stream)), traits_(device_traits(on.device)) {}

  template <class P>
  void launch(const P& program, std::int64_t teams) const {
    const std::int64_t blocks = teams * program.ranks();
    if (blocks == 0) return;
    if (blocks > kMostBlocks) throw std::invalid_argument(kTooMany);
    allow_shared_memory<P>(program.shared_bytes());
    cudaLaunchAttribute cluster = cluster_of(program.ranks());
    cudaLaunchConfig_t config = configuration(program, cluster);
    config.gridDim = dim3(static_cast<unsigned>(blocks));
    check(cudaLaunchKernelEx(&config, run_program<P>, program), "cudaLaunchKernelEx");
  }

  // As many teams as run at a time, each of which takes item after item: where most items turn out to need nothing,
  // they cost next to nothing.
  template <class P>
  void loop(const P& program, std::int64_t items) const {
    if (items > kMostBlocks) throw std::invalid_argument(kTooMany);
    launch(program, std::min<std::int64_t>(items, std::max(1, teams_at_a_time(program))));
  }

 private:
  // All that the device has, since other threads of this process may launch the same kernel with more or less.
  template <class P>
  void allow_shared_memory(std::size_t bytes) const {
    if (bytes <= kSharedWithoutAsking) return;
    static Kept<int, int> allowed;
    allowed.get(device_, [&] {
      cudaFuncAttributes attributes;
      check(cudaFuncGetAttributes(&attributes, run_program<P>), "cudaFuncGetAttributes");
      const int most = traits_.shared_bytes - static_cast<int>(attributes.sharedSizeBytes);
      check(cudaFuncSetAttribute(run_program<P>, cudaFuncAttributeMaxDynamicSharedMemorySize, most),
            "cudaFuncSetAttribute");
      return most;
    });
  }

  template <class P>
  cudaLaunchConfig_t configuration(const P& program, cudaLaunchAttribute& cluster) const {
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(static_cast<unsigned>(program.ranks()));
    config.blockDim = dim3(static_cast<unsigned>(program.threads()));
    config.dynamicSmemBytes = program.shared_bytes();
    config.stream = stream_;
    config.attrs = &cluster;
    config.numAttrs = program.ranks() > 1 ? 1 : 0;
    return config;
  }

  template <class P>
  int teams_at_a_time(const P& program) const {
    static Kept<Shape, int> known;
    return known.get({device_, program.ranks(), program.threads(), program.shared_bytes()},
                     [&] { return ask_for_teams(program); });
  }

  template <class P>
  int ask_for_teams(const P& program) const {
    allow_shared_memory<P>(program.shared_bytes());
    int teams = 0;
    if (program.ranks() > 1) {
      cudaLaunchAttribute cluster = cluster_of(program.ranks());
      const cudaLaunchConfig_t config = configuration(program, cluster);
      check(cudaOccupancyMaxActiveClusters(&teams, run_program<P>, &config), "cudaOccupancyMaxActiveClusters");
      return teams;
    }
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&teams, run_program<P>, program.threads(),
                                                        program.shared_bytes()),
          "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
    return teams * traits_.multiprocessors;
  }

  using Shape = std::tuple<int, int, int, std::size_t>;  // device, ranks, threads, bytes of shared memory
  static constexpr const char* kTooMany = "a batch of too many pairs for one launch: give fewer";
  static constexpr std::int64_t kMostBlocks = 0x7fffffff;
  static constexpr std::size_t kSharedWithoutAsking = 48 * 1024;
  int device_;
  cudaStream_t stream_;
  DeviceTraits traits_;
};

}  // namespace flowkit
