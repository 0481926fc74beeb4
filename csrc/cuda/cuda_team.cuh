// Runs block programs on a GPU. All that differs from host_team.h is here.
#pragma once

#include <cooperative_groups.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>
#include <tuple>

#include "cuda_errors.h"
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

// Launches on one stream of the current device; throws where a call fails.
class CudaLauncher {
 public:
  explicit CudaLauncher(cudaStream_t stream) : stream_(stream) {
    int device = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    check(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
    check(cudaDeviceGetAttribute(&shared_bytes_, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
          "cudaDeviceGetAttribute");
  }

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
    if (bytes <= kSharedWithoutAsking || !allowed_.insert(address_of<P>()).second) return;
    cudaFuncAttributes attributes;
    check(cudaFuncGetAttributes(&attributes, run_program<P>), "cudaFuncGetAttributes");
    check(cudaFuncSetAttribute(run_program<P>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               shared_bytes_ - static_cast<int>(attributes.sharedSizeBytes)),
          "cudaFuncSetAttribute");
  }

  template <class P>
  static const void* address_of() {
    return reinterpret_cast<const void*>(&run_program<P>);
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

  // Asked for once a kernel and shape: the driver takes longer to say it than to launch.
  template <class P>
  int teams_at_a_time(const P& program) const {
    const Shape shape = {address_of<P>(), program.ranks(), program.threads(), program.shared_bytes()};
    const auto [known, added] = teams_.try_emplace(shape, 0);
    if (added) known->second = ask_for_teams(program);
    return known->second;
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
    return teams * multiprocessors_;
  }

  using Shape = std::tuple<const void*, int, int, std::size_t>;
  static constexpr const char* kTooMany = "a batch of too many pairs for one launch: give fewer";
  static constexpr std::int64_t kMostBlocks = 0x7fffffff;
  static constexpr std::size_t kSharedWithoutAsking = 48 * 1024;
  cudaStream_t stream_;
  int multiprocessors_ = 1, shared_bytes_ = 0;
  mutable std::set<const void*> allowed_;
  mutable std::map<Shape, int> teams_;
};

}  // namespace flowkit
