// Threads where there is no memory for some of them, and blocks that are given back where there is none: all work is
// done all the same, and nothing hangs or ends the process. One allocation fails a round, from the first one on.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "../../csrc/cpu/memory.h"
#include "../../csrc/cpu/pair_threads.h"
#include "../../csrc/cpu/parallel.h"

namespace {

constexpr int kThreads = 4, kMostAllocations = 40;

std::atomic<int> until_failure{-1};

// The allocation number `failing` from here on fails while threads are started.
bool every_part_ran(int failing) {
  std::atomic<int> seen{0};
  until_failure = failing;
  {
    flowkit::PairThreads threads(kThreads);
    until_failure = -1;
    for (int round = 0; round < 3; ++round) threads.run(threads.size(), [&](int part) { seen += 1 << (8 * part); });
    for (int part = 0; part < threads.size(); ++part) seen -= 3 << (8 * part);
  }
  return seen == 0;
}

bool every_item_was_worked_on(int failing) {
  std::atomic<int> seen[100] = {};
  until_failure = failing;
  flowkit::for_each(100, kThreads, [&] { return [&](std::size_t i) { ++seen[i]; }; });
  until_failure = -1;
  for (const auto& times : seen)
    if (times != 1) return false;
  return true;
}

// A block is kept without memory for where it is noted; the first comes where nothing is noted yet.
void give_a_block_back() {
  const flowkit::Block block(256);
  until_failure = 0;
}

}  // namespace

void* operator new(std::size_t bytes) {
  if (until_failure >= 0 && until_failure-- == 0) throw std::bad_alloc();
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

int main() {
  std::printf("a block\n");
  std::fflush(stdout);
  give_a_block_back();
  until_failure = -1;
  for (int failing = 0; failing < kMostAllocations; ++failing) {
    std::printf("allocation %d\n", failing);
    std::fflush(stdout);
    if (!every_part_ran(failing) || !every_item_was_worked_on(failing)) return 1;
  }
}
