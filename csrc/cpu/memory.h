// Memory for solvers that outlives them: the next call finds its pages mapped already.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace flowkit {

// An aligned block of uninitialised floats, taken from the blocks that earlier calls have left where one fits.
class Block {
 public:
  explicit Block(std::size_t floats) {
    const std::size_t bytes = floats * sizeof(float);
    if (!take(bytes)) allocate(bytes);
  }
  ~Block() { give_back(); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  float* data() const { return static_cast<float*>(spare_.data); }

 private:
  struct Spare {
    void* data = nullptr;
    std::size_t bytes = 0;
  };
  static constexpr std::size_t kLine = 64, kHugePage = std::size_t{1} << 21;
  // What is kept for later: at most 64 MiB for as long as the process lives, which is enough for some 13 threads with
  // faces of 224 x 224 px, and nothing of a large video frame.
  static constexpr std::size_t kMostKept = 16, kLargestKept = std::size_t{1} << 25, kMostBytes = std::size_t{1} << 26;

  // Nothing that is destroyed, since threads may end after static objects, or grows, which a destructor cannot.
  struct Kept {
    Spare spares[kMostKept];
    std::size_t count = 0, bytes = 0;

    Spare taken(std::size_t i) {
      const Spare spare = spares[i];
      std::copy(spares + i + 1, spares + count--, spares + i);
      bytes -= spare.bytes;
      return spare;
    }
  };
  static Kept& kept() {
    static Kept blocks;
    return blocks;
  }
  static std::mutex& lock() {
    static auto* mutex = new std::mutex();
    return *mutex;
  }

  // Waits for other threads, but not for ever: a lock that a forked process inherited from another thread stays locked,
  // and then one has to do without.
  static std::unique_lock<std::mutex> patiently() {
    for (int attempt = 0; attempt < 1000; ++attempt) {
      std::unique_lock<std::mutex> guard(lock(), std::try_to_lock);
      if (guard) return guard;
      std::this_thread::yield();
    }
    return {};
  }

  bool take(std::size_t bytes) {
    const std::unique_lock<std::mutex> guard = patiently();
    if (!guard) return false;
    Kept& blocks = kept();
    for (std::size_t i = 0; i < blocks.count; ++i) {
      const std::size_t size = blocks.spares[i].bytes;
      if (size >= bytes && size - bytes <= bytes / 4) {
        spare_ = blocks.taken(i);
        return true;
      }
    }
    return false;
  }

  // Large blocks in huge pages where the system has them: a 1080p pair needs some 40,000 small ones.
  void allocate(std::size_t bytes) {
    const std::size_t align = bytes >= 4 * kHugePage ? kHugePage : kLine;
    spare_.bytes = (bytes + align - 1) / align * align;
    spare_.data = std::aligned_alloc(align, spare_.bytes);
    if (!spare_.data) throw std::bad_alloc();
#if defined(__linux__)
    if (align == kHugePage) madvise(spare_.data, spare_.bytes, MADV_HUGEPAGE);
#endif
  }

  void give_back() {
    if (spare_.bytes <= kLargestKept) {
      const std::unique_lock<std::mutex> guard = patiently();
      if (guard) {
        Kept& blocks = kept();
        while (blocks.count == kMostKept || blocks.bytes + spare_.bytes > kMostBytes) std::free(blocks.taken(0).data);
        blocks.spares[blocks.count++] = spare_;
        blocks.bytes += spare_.bytes;
        return;
      }
    }
    std::free(spare_.data);
  }

  Spare spare_;
};

}  // namespace flowkit
