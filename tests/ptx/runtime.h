// What the translated kernels ask of the thread that runs them. tests/ptx/__init__.py says what this is for.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

constexpr unsigned kWarp = 32, kMostWarps = 32;

enum class Waiting { for_nobody, for_warp, for_block, for_cluster, no_more };

// 16 bytes, so that memory made of them is aligned as a GPU's.
struct alignas(16) Chunk {
  char bytes[16];
};

// Who touched a word of shared memory last, and after how many barriers.
struct Touched {
  static constexpr unsigned kNobody = ~0u, kMany = ~1u;
  unsigned writer = kNobody, reader = kNobody;
  unsigned written = 0, read = 0;
};

struct Block {
  std::vector<Chunk> shared;
  std::vector<Touched> touched;  // of each word
  unsigned shared_bytes;
  uint32_t exchanged[kMostWarps][kWarp];

  uint64_t address() const { return reinterpret_cast<uint64_t>(shared.data()); }
};

// Ends the launch, which then says what, with the kernel's and the thread's name. The thread does not run on.
[[noreturn]] void fail(const std::string& what);
// Ends the launch where the device has no such memory, or where another cluster, which may run at any other time of the
// launch, writes what this one reads or writes, or reads what this one writes.
void check_global(uint64_t address, unsigned bytes, bool writes, unsigned cluster_number);

// For the count of wavefronts (wavefronts.cpp): an access to a rank's shared memory, and the end of a cluster.
struct Thread;
void note_access(const Thread& thread, unsigned rank, uint64_t place, unsigned bytes, unsigned instruction);
void count_wavefronts();

struct Thread {
  unsigned number, rank, block_number, blocks, cluster_number;
  unsigned passed;  // barriers
  std::vector<Block>* cluster;
  const std::vector<Chunk>* parameter;
  unsigned parameter_bytes;
  Waiting waiting;
  void* stack_pointer;

  Block& block() const { return (*cluster)[rank]; }

  // Lets others run until all that are meant wait too.
  void wait(Waiting for_whom);
  // A kernel has one kind of barrier for all its threads, so those who have passed equally many may be side by side.
  void wait_for_block() { wait(Waiting::for_block), ++passed; }
  void wait_for_cluster() { wait(Waiting::for_cluster), ++passed; }

  // The value of the lane whose number differs by these bits.
  uint32_t exchange(uint32_t value, unsigned lanes) {
    uint32_t* values = block().exchanged[number / kWarp];
    values[number % kWarp] = value;
    wait(Waiting::for_warp);
    const uint32_t other = values[number % kWarp ^ lanes];
    wait(Waiting::for_warp);
    return other;
  }

  uint64_t parameter_address() const { return reinterpret_cast<uint64_t>(parameter->data()); }
  uint64_t shared_address(uint64_t place) const { return block().address() + place; }
  uint64_t in_rank(uint64_t address, unsigned other) const {
    const uint64_t place = address - block().address();
    if (other >= cluster->size() || place >= block().shared_bytes) fail("mapa of rank " + std::to_string(other));
    return (*cluster)[other].address() + place;
  }

  // Ends the launch where another thread may write what this one reads or writes, or read what this one writes.
  void touch(Block& block, uint64_t place, unsigned bytes, bool writes) const {
    const unsigned me = rank << 16 | number;
    for (uint64_t word = place / 4; word <= (place + bytes - 1) / 4; ++word) {
      Touched& t = block.touched[word];
      const bool others_write = t.writer != Touched::kNobody && t.written == passed && t.writer != me;
      const bool others_read = t.reader != Touched::kNobody && t.read == passed && t.reader != me;
      if (others_write || (writes && others_read)) fail("a race for shared memory " + std::to_string(4 * word));
      if (writes)
        t.writer = me, t.written = passed;
      else
        t.reader = others_read ? Touched::kMany : me, t.read = passed;
    }
  }

  template <class T, unsigned count>
  T* param(uint64_t address, bool) const {
    const uint64_t place = address - parameter_address();
    if (place + count * sizeof(T) > parameter_bytes) fail("parameter " + std::to_string(place));
    return reinterpret_cast<T*>(address);
  }
  // An instruction is known by its line of the translation.
  template <class T, unsigned count>
  T* shared(uint64_t place, bool writes, unsigned instruction = __builtin_LINE()) const {
    place = static_cast<uint32_t>(place);
    if (place % (count * sizeof(T)) || place + count * sizeof(T) > block().shared_bytes)
      fail("shared memory " + std::to_string(place));
    touch(block(), place, count * sizeof(T), writes);
    note_access(*this, rank, place, count * sizeof(T), instruction);
    return reinterpret_cast<T*>(shared_address(place));
  }
  template <class T, unsigned count>
  T* generic(uint64_t address, bool writes, unsigned instruction = __builtin_LINE()) const {
    for (Block& b : *cluster)
      if (address >= b.address() && address + count * sizeof(T) <= b.address() + b.shared_bytes) {
        if (address % (count * sizeof(T))) fail("misaligned");
        touch(b, address - b.address(), count * sizeof(T), writes);
        note_access(*this, &b - cluster->data(), address - b.address(), count * sizeof(T), instruction);
        return reinterpret_cast<T*>(address);
      }
    return global<T, count>(address, writes);
  }
  template <class T, unsigned count>
  T* global(uint64_t address, bool writes) const {
    check_global(address, count * sizeof(T), writes, cluster_number);
    return reinterpret_cast<T*>(address);
  }
};

struct Kernel {
  const char* name;
  void (*run)(Thread&);
  unsigned parameter_bytes, most_threads;
  int architecture;
};
extern const Kernel kernel_table[];  // ends with one that has no name

template <class To, class From>
To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

template <class T>
T shift_left(T value, unsigned count) {
  return count < 8 * sizeof(T) ? value << count : 0;
}
template <class T>
T shift_right(T value, unsigned count) {
  return value >> (count < 8 * sizeof(T) ? count : 8 * sizeof(T) - 1) >> (count < 8 * sizeof(T) ? 0 : 1);
}

// Of numbers the one that is none of NaN, as PTX has it.
inline float least(float a, float b) { return std::fmin(a, b); }
inline float greatest(float a, float b) { return std::fmax(a, b); }
inline double least(double a, double b) { return std::fmin(a, b); }
inline double greatest(double a, double b) { return std::fmax(a, b); }
template <class T>
T least(T a, T b) {
  return a < b ? a : b;
}
template <class T>
T greatest(T a, T b) {
  return a > b ? a : b;
}

// A GPU's approximations are off by an ulp now and then; here by up to so many, somehow.
extern unsigned ulps_off;

inline float approximate(double exact) {
  const uint64_t mixed = bits_as<uint64_t>(exact) * 0x9e3779b97f4a7c15u;
  const uint32_t off = static_cast<uint32_t>(mixed >> 40) % (2 * ulps_off + 1);
  return bits_as<float>(bits_as<uint32_t>(static_cast<float>(exact)) + off - ulps_off);
}

inline uint32_t permute_bytes(uint32_t low, uint32_t high, uint32_t selector) {
  const uint64_t both = low | uint64_t{high} << 32;
  uint32_t result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned select = selector >> 4 * i & 15;
    uint32_t byte = both >> 8 * (select & 7) & 255;
    if (select & 8) byte = byte & 128 ? 255 : 0;
    result |= byte << 8 * i;
  }
  return result;
}
