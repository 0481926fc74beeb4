// Answers of the driver that a process needs only once: it takes longer to give some of them than to launch a kernel.
#pragma once

#include <map>
#include <mutex>

namespace flowkit {

// Any number of threads may ask. Who asks for what another thread is just finding out waits for it. Where `ask` throws,
// nothing is kept.
template <class Key, class Answer>
class Kept {
 public:
  template <class Ask>
  Answer get(const Key& key, const Ask& ask) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto known = answers_.find(key);
    return known != answers_.end() ? known->second : answers_.emplace(key, ask()).first->second;
  }

 private:
  std::mutex mutex_;
  std::map<Key, Answer> answers_;
};

}  // namespace flowkit
