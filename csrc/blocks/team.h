// Block programs: the CUDA solver as plain C++, so that tests run it on machines without a GPU.
//
// A *team* is one thread block, or a cluster of `ranks` blocks that see each other's shared memory. A *program* is a
// trivially copyable functor of pointers and sizes,
//
//     template <class Team> FLOWKIT_DEVICE void operator()(Team& team) const;
//
// which every team of a launch runs. It is a sequence of phases:
//
//     team.for_each([&](int rank, int thread) { ... });
//
// runs the body for every thread of every rank, then waits for the whole team. Within a phase no thread may read what
// another one writes. A body may return a float or double: then for_each(body, write) adds the values of each warp, in
// the order of a butterfly, and calls write(rank, warp, sum) before it waits. What stands between the phases is run by
// every thread and has to come out the same for all of them; a slow thread runs it while a fast one is in the next
// phase already, so it must not read what that phase writes.
//
// What lives from phase to phase:
//
//     typename Team::template PerThread<State> state(team);   registers; state(rank, thread) is the thread's own
//     team.template shared<T>(rank)                           shared memory of the rank that runs the body
//     team.template remote<T>(rank)                           shared memory of any rank of the team
//
// CudaTeam (cuda_team.cuh) has threads for all this. HostTeam (host_team.h) has loops, in forward or in reverse order,
// and fills memory with NaN before it is used, so that a read of what another thread writes in the same phase, or of
// what nobody wrote, changes the result.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../view.h"

#if defined(__CUDACC__)
#define FLOWKIT_DEVICE __device__ __forceinline__
#else
#define FLOWKIT_DEVICE inline
#endif

namespace flowkit {

constexpr int kWarp = 32;

// Floats that are read and written as one.
struct alignas(8) Float2 {
  float at[2];
};
struct alignas(16) Float4 {
  float at[4];
};

// What a launch of a program needs, as far as the program does not say otherwise.
struct Program {
  static constexpr int kMostThreads = 256;  // the register budget follows from it
  static constexpr bool kClusters = false;  // whether it may run with more than one rank
  int ranks() const { return 1; }
  int threads() const { return kMostThreads; }
  std::size_t shared_bytes() const { return 0; }
};

// True for positive numbers, in a way that no compiler sees through: what stands behind it is not moved ahead of it,
// and fewer registers are in use at a time.
FLOWKIT_DEVICE bool opaque(int positive) {
#if defined(__CUDA_ARCH__)
  asm volatile("" : "+r"(positive)::"memory");
#endif
  return positive > 0;
}

// The same number, and no compiler sees that: where registers are short, ptxas works out at each use what follows from
// the thread's number alone, but this it has to keep. All threads of a warp call it.
FLOWKIT_DEVICE unsigned kept(unsigned number) {
#if defined(__CUDA_ARCH__)
  number = __shfl_xor_sync(~0u, number, 0);
#endif
  return number;
}

// Divides by a number that the host knows: a multiplication and a shift instead of some 25 instructions. For numbers
// below 2^31 the quotient is exact, since the multiplier 2^p / d is rounded up by less than one, and p is 31 +
// ceil(log2 d) (T. Granlund, P. Montgomery, Division by Invariant Integers using Multiplication, 1994).
class Divisor {
 public:
  explicit Divisor(int divisor) : divisor_(divisor) {
    int log = 0;
    while ((std::int64_t{1} << log) < divisor) ++log;
    shift_ = log - 1;
    multiplier_ = static_cast<std::uint32_t>(((std::uint64_t{1} << (31 + log)) + divisor - 1) / divisor);
  }
  FLOWKIT_DEVICE int quotient(int a) const {
    if (divisor_ == 1) return a;
    return static_cast<int>(
        static_cast<std::uint32_t>((static_cast<std::uint64_t>(static_cast<std::uint32_t>(a)) * multiplier_) >> 32) >>
        shift_);
  }
  // The quotient; `a` becomes the remainder.
  FLOWKIT_DEVICE int divide(int& a) const {
    const int q = quotient(a);
    a -= q * divisor_;
    return q;
  }

 private:
  int divisor_, shift_;
  std::uint32_t multiplier_;
};

}  // namespace flowkit
