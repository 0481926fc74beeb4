// Work shared out over threads that live for one call. Not OpenMP: its pool does not survive a fork, and a forked
// DataLoader worker would hang in its first parallel region.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace flowkit {

// Calls make_worker() once a thread, then worker(i) for every i in 0 .. count - 1, each on some thread. Rethrows the
// first exception.
template <class MakeWorker>
void for_each(std::size_t count, int threads, const MakeWorker& make_worker) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex failure_lock;
  const auto run = [&] {
    try {
      auto worker = make_worker();
      for (std::size_t i; (i = next.fetch_add(1)) < count;) worker(i);
    } catch (...) {
      next = count;
      const std::lock_guard<std::mutex> guard(failure_lock);
      if (!failure) failure = std::current_exception();
    }
  };
  const std::size_t helpers = std::min<std::size_t>(threads > 1 ? threads - 1 : 0, count > 0 ? count - 1 : 0);
  std::vector<std::thread> pool;
  try {
    pool.reserve(helpers);
    for (std::size_t i = 0; i < helpers; ++i) pool.emplace_back(run);
  } catch (...) {
    // The system grants no more threads, or no memory for them: those that run do all the work.
  }
  run();
  for (std::thread& thread : pool) thread.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace flowkit
