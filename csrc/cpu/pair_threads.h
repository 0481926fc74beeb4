// Threads that work on one pair together.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace flowkit {

// The calling thread and its helpers, which sleep while there is nothing to do.
class PairThreads {
 public:
  // As many threads as asked for, or those that the system grants.
  explicit PairThreads(int threads) {
    try {
      helpers_.reserve(threads - 1);
      for (int member = 1; member < threads; ++member) helpers_.emplace_back([this, member] { help(member); });
    } catch (...) {
      // No more threads, or no memory for them. What left this constructor would leave its helpers waiting for ever.
    }
  }
  ~PairThreads() {
    {
      const std::lock_guard<std::mutex> guard(lock_);
      ended_ = true;
    }
    called_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
  }
  PairThreads(const PairThreads&) = delete;
  PairThreads& operator=(const PairThreads&) = delete;

  int size() const { return static_cast<int>(helpers_.size()) + 1; }

  // Calls work(part) for every part below `parts`, at most size(), each on a thread of its own; returns when all have.
  // `work` must not throw.
  template <class Work>
  void run(int parts, const Work& work) {
    if (parts > 1) {
      const std::lock_guard<std::mutex> guard(lock_);
      work_ = std::cref(work);
      parts_ = parts;
      busy_ = parts - 1;
      ++round_;
    }
    if (parts > 1) called_.notify_all();
    work(0);
    if (parts > 1) {
      std::unique_lock<std::mutex> guard(lock_);
      finished_.wait(guard, [this] { return busy_ == 0; });
    }
  }

 private:
  void help(int member) {
    std::unique_lock<std::mutex> guard(lock_);
    for (long seen = 0;;) {
      called_.wait(guard, [&] { return ended_ || round_ != seen; });
      if (ended_) return;
      seen = round_;
      if (member >= parts_) continue;
      guard.unlock();
      work_(member);
      guard.lock();
      if (--busy_ == 0) finished_.notify_one();
    }
  }

  std::vector<std::thread> helpers_;
  std::mutex lock_;
  std::condition_variable called_, finished_;
  std::function<void(int)> work_;
  int parts_ = 0, busy_ = 0;
  long round_ = 0;
  bool ended_ = false;
};

}  // namespace flowkit
