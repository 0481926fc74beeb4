// Runs block programs on the host, one thread after the other: how they are tested where there is no GPU.
#pragma once

#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "team.h"

namespace flowkit {

// Bytes that make NaN of every float and double.
constexpr int kPoison = 0xff;

// In which order the teams of a launch run, and the threads of a phase. A correct program depends on neither.
enum class Order { forward, reverse, shuffled };

// Calls visit(i) for 0 <= i < all in that order; shuffled, in steps that have no divisor in common with `all`.
template <class Visit>
void visit_each(Order order, int all, const Visit& visit) {
  int at = 0, step = 1;
  if (order == Order::reverse) at = step = all - 1;
  if (order == Order::shuffled) {
    at = all / 3;
    for (step = all / 2 + all / 8 + 1; std::gcd(step, all) != 1;) ++step;
    step %= all;
  }
  for (int i = 0; i < all; ++i) {
    visit(at);
    at = at + step < all ? at + step : at + step - all;
  }
}

class HostTeam {
 public:
  HostTeam(int index, int teams, int ranks, int threads, std::size_t shared_bytes, Order order)
      : index_(index),
        teams_(teams),
        ranks_(ranks),
        threads_(threads),
        order_(order),
        stride_((shared_bytes + sizeof(Float4) - 1) / sizeof(Float4)),
        shared_(stride_ * ranks) {
    if (threads % kWarp != 0) throw std::logic_error("a team has whole warps only");
    if (!shared_.empty()) std::memset(static_cast<void*>(shared_.data()), kPoison, shared_.size() * sizeof(Float4));
  }

  int index() const { return index_; }
  int teams() const { return teams_; }
  int rank() const { return rank_; }
  int ranks() const { return ranks_; }
  int threads() const { return threads_; }

  template <class T>
  T* shared(int rank) {
    if (rank != rank_) throw std::logic_error("shared memory of another rank: use remote()");
    return remote<T>(rank);
  }
  template <class T>
  T* remote(int rank) {
    return reinterpret_cast<T*>(shared_.data() + rank * stride_);
  }

  template <class Body>
  void for_each(const Body& body) {
    visit_each(order_, ranks_ * threads_, [&](int at) {
      rank_ = at / threads_;
      body(rank_, at % threads_);
    });
    rank_ = 0;
  }

  template <class Body, class Write>
  void for_each(const Body& body, const Write& write) {
    using Value = decltype(body(0, 0));
    std::vector<Value> values(ranks_ * threads_);
    for_each([&](int rank, int thread) { values[rank * threads_ + thread] = body(rank, thread); });
    for (rank_ = 0; rank_ < ranks_; ++rank_)
      for (int warp = 0; warp < threads_ / kWarp; ++warp)
        write(rank_, warp, butterfly_sum(&values[rank_ * threads_ + warp * kWarp]));
    rank_ = 0;
  }

  template <class State>
  class PerThread {
   public:
    explicit PerThread(HostTeam& team) : threads_(team.threads_), states_(team.ranks_ * team.threads_) {
      static_assert(std::is_trivially_copyable_v<State>);
      std::memset(static_cast<void*>(states_.data()), kPoison, states_.size() * sizeof(State));
    }
    State& operator()(int rank, int thread) { return states_[rank * threads_ + thread]; }

   private:
    int threads_;
    std::vector<State> states_;
  };

 private:
  // The sum that every lane has after exchanges with the lanes 16, 8, 4, 2 and 1 away.
  template <class Value>
  static Value butterfly_sum(const Value* lanes) {
    Value sums[kWarp];
    for (int i = 0; i < kWarp; ++i) sums[i] = lanes[i];
    for (int distance = kWarp / 2; distance > 0; distance /= 2)
      for (int i = 0; i < distance; ++i) sums[i] = sums[i] + sums[i + distance];
    return sums[0];
  }

  int index_, teams_, ranks_, threads_;
  Order order_;
  int rank_ = 0;
  std::size_t stride_;
  std::vector<Float4> shared_;
};

class HostLauncher {
 public:
  explicit HostLauncher(Order order) : order_(order) {}

  template <class P>
  void launch(const P& program, std::int64_t teams) {
    if (program.ranks() > 1 && !P::kClusters) throw std::logic_error("a program without clusters has one rank");
    if (program.threads() > P::kMostThreads) throw std::logic_error("more threads than the program has registers for");
    const int all = static_cast<int>(teams);
    visit_each(order_, all, [&](int index) {
      HostTeam team(index, all, program.ranks(), program.threads(), program.shared_bytes(), order_);
      program(team);
    });
  }

  // Few teams, so that each takes several items.
  template <class P>
  void loop(const P& program, std::int64_t items) {
    launch(program, std::min<std::int64_t>(items, 3));
  }

 private:
  Order order_;
};

}  // namespace flowkit
