// The devices' memory, which is the host's, and which clusters of a launch have touched it.
#include <cstdlib>
#include <map>
#include <memory>
#include <unordered_map>

#include "standin.h"

namespace {

// The clusters of all launches are numbered through, so that those of earlier ones need not be cleared away.
struct TouchedBy {
  uint32_t writer, reader;
};

struct Free {
  void operator()(void* address) const { std::free(address); }
};

struct Allocation {
  std::size_t bytes;
  int device;
  std::unique_ptr<TouchedBy[], Free> words;
};

std::map<uint64_t, Allocation> allocations;
std::unordered_map<uint64_t, TouchedBy> parts;  // bytes that this launch touched by less than a word
uint32_t first_number = 1, many = 1;            // of this launch: its clusters' numbers begin and end
int device_at_work = 0;

uint64_t number_of(const void* address) { return reinterpret_cast<uint64_t>(address); }

// The one that the bytes lie in, or null.
std::pair<const uint64_t, Allocation>* around(uint64_t address, std::size_t bytes, int device) {
  const auto after = allocations.upper_bound(address);
  if (after == allocations.begin()) return nullptr;
  auto& found = *std::prev(after);
  const bool inside = address + bytes <= found.first + found.second.bytes && found.second.device == device;
  return inside ? &found : nullptr;
}

void touch(TouchedBy& at, bool writes, uint32_t cluster) {
  const bool others_write = at.writer >= first_number && at.writer != cluster;
  const bool others_read = at.reader >= first_number && at.reader != cluster;
  if (others_write || (writes && others_read)) fail("a race between blocks for global memory");
  (writes ? at.writer : at.reader) = others_read && !writes ? many : cluster;
}

}  // namespace

// Behind each allocation stays a gap.
void* allocate(std::size_t bytes, int device) {
  const std::size_t taken = (bytes / 256 + 2) * 256;
  void* address = std::aligned_alloc(256, taken);
  std::memset(address, kPoison, taken);
  // Zeros, of which the machine provides those that are used.
  auto* words = static_cast<TouchedBy*>(std::calloc(bytes / 4 + 1, sizeof(TouchedBy)));
  allocations[number_of(address)] = {bytes, device, std::unique_ptr<TouchedBy[], Free>(words)};
  return address;
}

bool release(void* address) {
  if (!allocations.erase(number_of(address))) return false;
  std::free(address);
  return true;
}

std::size_t allocated_bytes(int device) {
  std::size_t bytes = 0;
  for (const auto& [address, allocation] : allocations) bytes += allocation.device == device ? allocation.bytes : 0;
  return bytes;
}

bool is_allocated(const void* address, std::size_t bytes, int device) {
  return around(number_of(address), bytes, device) != nullptr;
}

void begin_launch_in_memory(unsigned clusters, int device) {
  first_number = many + 1;
  many = first_number + clusters;
  device_at_work = device;
  parts.clear();
}

// A word that one cluster touches as a whole and another one in parts goes unnoticed: flowkit's programs have none.
void check_global(uint64_t address, unsigned bytes, bool writes, unsigned cluster_number) {
  const auto* found = around(address, bytes, device_at_work);
  if (!found) fail("global memory that is not allocated");
  if (address % bytes) fail("misaligned");
  const uint32_t cluster = first_number + cluster_number;
  if (bytes < 4) {
    for (unsigned i = 0; i < bytes; ++i) touch(parts[address + i], writes, cluster);
    return;
  }
  TouchedBy* words = found->second.words.get() + (address - found->first) / 4;
  for (unsigned i = 0; i < bytes / 4; ++i) touch(words[i], writes, cluster);
}
