// Counts wavefronts of shared memory: the rounds that it takes for the accesses of a warp's instructions. It has 32
// banks of 4 bytes and serves a word of each a round, to however many lanes ask for that word. Accesses of 8 bytes go
// by half warps, those of 16 bytes by quarter warps, also where all lanes ask for the same.
#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "runtime.h"

// Read and set from Python.
extern "C" {
bool counts_wavefronts = false;
uint64_t wavefronts = 0;
}

namespace {

constexpr unsigned kBanks = 32;

struct Access {
  unsigned warp, instruction;
  unsigned time;  // how often the lane had come to the instruction before
  unsigned lane;
  unsigned words;
  uint64_t word;  // of the cluster's memory
  auto instance() const { return std::tie(warp, instruction, time); }
};

std::vector<Access> accesses;  // of the cluster that runs
std::map<std::tuple<unsigned, unsigned, unsigned>, unsigned> times;

// Of lanes that are served together.
unsigned rounds(const Access* first, const Access* end) {
  std::vector<uint64_t> words;
  for (const Access* a = first; a != end; ++a)
    for (unsigned i = 0; i < a->words; ++i) words.push_back(a->word + i);
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  std::array<unsigned, kBanks> of_bank = {};
  for (const uint64_t word : words) ++of_bank[word % kBanks];
  return *std::max_element(of_bank.begin(), of_bank.end());
}

}  // namespace

void note_access(const Thread& thread, unsigned rank, uint64_t place, unsigned bytes, unsigned instruction) {
  if (!counts_wavefronts) return;
  const unsigned warp = thread.rank * kMostWarps + thread.number / kWarp, lane = thread.number % kWarp;
  const unsigned words = std::max(1u, bytes / 4);
  const uint64_t word = (uint64_t{rank} << 32) + place / 4;
  accesses.push_back({warp, instruction, times[{warp, lane, instruction}]++, lane, words, word});
}

void count_wavefronts() {
  std::sort(accesses.begin(), accesses.end(), [](const Access& a, const Access& b) {
    return std::tie(a.warp, a.instruction, a.time, a.lane) < std::tie(b.warp, b.instruction, b.time, b.lane);
  });
  const Access* const end = accesses.data() + accesses.size();
  for (const Access* first = accesses.data(); first != end;) {
    const unsigned together = kWarp / first->words;
    const Access* behind = first;
    while (behind != end && behind->instance() == first->instance() &&
           behind->lane / together == first->lane / together)
      ++behind;
    wavefronts += rounds(first, behind);
    first = behind;
  }
  accesses.clear();
  times.clear();
}
