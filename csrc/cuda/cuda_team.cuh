// Runs block programs on a GPU. All that differs from host_team.h is here.
#pragma once

#include <cooperative_groups.h>
#include <cuda_runtime.h>

#include "check.h"
#include "team.h"

namespace flowkit {

// Clusters exist from compute capability 9.0 on.
template <bool clusters>
class CudaTeam {
 public:
  FLOWKIT_DEVICE CudaTeam() {
#if __CUDA_ARCH__ >= 900
    if constexpr (clusters) {
      ranks_ = static_cast<int>(cooperative_groups::this_cluster().num_blocks());
      rank_ = static_cast<int>(cooperative_groups::this_cluster().block_rank());
    }
#endif
  }

  FLOWKIT_DEVICE int index() const { return ranks_ == 1 ? blockIdx.x : blockIdx.x / ranks_; }
  // The ranks of a team are consecutive blocks: a cluster of one dimension.
  FLOWKIT_DEVICE int rank() const { return rank_; }
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

  int ranks_ = 1, rank_ = 0;
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
  CudaTeam<P::kClusters> team;
  program(team);
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
  explicit CudaLauncher(cudaStream_t stream) : stream_(stream) {}

  template <class P>
  void launch(const P& program, std::int64_t teams) const {
    const int ranks = program.ranks();
    const std::int64_t blocks = teams * ranks;
    if (blocks == 0) return;
    if (blocks > kMostBlocks) throw std::runtime_error("a batch of too many pairs for one launch: give fewer");
    const std::size_t shared_bytes = program.shared_bytes();
    if (shared_bytes > kSharedWithoutAsking)
      check(cudaFuncSetAttribute(run_program<P>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(shared_bytes)),
            "cudaFuncSetAttribute");
    cudaLaunchAttribute cluster = cluster_of(ranks);
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(static_cast<unsigned>(blocks));
    config.blockDim = dim3(static_cast<unsigned>(program.threads()));
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream_;
    config.attrs = &cluster;
    config.numAttrs = ranks > 1 ? 1 : 0;
    check(cudaLaunchKernelEx(&config, run_program<P>, program), "cudaLaunchKernelEx");
  }

 private:
  static constexpr std::int64_t kMostBlocks = 0x7fffffff;
  static constexpr std::size_t kSharedWithoutAsking = 48 * 1024;
  cudaStream_t stream_;
};

}  // namespace flowkit
