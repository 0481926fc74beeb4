// The CUDA runtime's calls that flowkit makes, on the host. Memory of the device is memory of the host, streams run at
// once, and a launch runs its clusters one after the other, each thread of a cluster as a fiber.
#include "runtime.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <numeric>
#include <random>

namespace {

constexpr int kMultiprocessors = 2, kBlocksAtATime = 2, kClustersAtATime = 2;  // few, so that teams take several items
constexpr int kSharedBytes = 232448, kSharedWithoutAsking = 48 * 1024, kMostRanks = 8;
constexpr std::size_t kMemory = std::size_t{1} << 28, kStackChunks = 2048;
constexpr int kPoison = 0xff;  // bytes that make NaN of every float

// Filled before main, by code that nvcc adds.
std::map<const void*, std::string>& names() {
  static std::map<const void*, std::string> all;
  return all;
}

std::map<const void*, int> allowed_shared_bytes;
std::map<uint64_t, std::size_t> allocated;
std::mt19937 random_numbers;
const Kernel* running_kernel = nullptr;
Thread* running = nullptr;
void* scheduler = nullptr;
std::string failure;  // of the last launch

// Saves the registers that a call keeps, and goes on where the other stack stopped.
extern "C" void switch_stack(void** from, void* to);
asm(R"(
.globl switch_stack
switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

void note_failure(const std::string& what) {
  failure = std::string(running_kernel->name) + ": block " + std::to_string(running->block_number) + ", rank " +
            std::to_string(running->rank) + ", thread " + std::to_string(running->number) + ": " + what;
}

void run_thread() {
  running_kernel->run(*running);
  running->wait(Waiting::no_more);
}

// Stacks are kept for the next launch.
Chunk* stack(unsigned index) {
  static std::vector<std::unique_ptr<Chunk[]>> all;
  while (all.size() <= index) all.emplace_back(new Chunk[kStackChunks]);
  return all[index].get();
}

void begin(Thread& thread, Chunk* stack) {
  thread.waiting = Waiting::for_nobody;
  void** top = reinterpret_cast<void**>(stack + kStackChunks);
  *--top = nullptr;  // where run_thread would return to
  *--top = reinterpret_cast<void*>(&run_thread);
  thread.stack_pointer = top - 6;  // six registers
}

// Whether all of them wait for each other, or have ended; then they go on.
bool release(Thread* first, Thread* end, Waiting waiting) {
  const bool all =
      std::all_of(first, end, [&](const Thread& t) { return t.waiting == waiting || t.waiting == Waiting::no_more; });
  const bool any = std::any_of(first, end, [&](const Thread& t) { return t.waiting == waiting; });
  if (!all || !any) return false;
  for (Thread* t = first; t != end; ++t)
    if (t->waiting == waiting) t->waiting = Waiting::for_nobody;
  return true;
}

bool release_groups(std::vector<Thread>& threads, unsigned size, Waiting waiting) {
  bool some = false;
  for (std::size_t first = 0; first < threads.size(); first += size)
    some |= release(threads.data() + first, threads.data() + first + size, waiting);
  return some;
}

void run_cluster(const cudaLaunchConfig_t& config, unsigned first_block, unsigned ranks,
                 const std::vector<Chunk>& parameter) {
  const unsigned block_threads = config.blockDim.x, shared_bytes = static_cast<unsigned>(config.dynamicSmemBytes);
  std::vector<Block> cluster(ranks);
  for (Block& block : cluster) {
    block.shared.resize(shared_bytes / sizeof(Chunk) + 1);
    block.shared_bytes = shared_bytes;
    block.touched.resize(shared_bytes / 4 + 1);
    std::memset(block.shared.data(), kPoison, block.shared.size() * sizeof(Chunk));
  }
  std::vector<Thread> threads(ranks * block_threads);
  for (unsigned i = 0; i < threads.size(); ++i) {
    const unsigned rank = i / block_threads;
    threads[i] = {i % block_threads,
                  rank,
                  first_block + rank,
                  config.gridDim.x,
                  0,
                  &cluster,
                  &parameter,
                  running_kernel->parameter_bytes};
    begin(threads[i], stack(i));
  }
  std::vector<unsigned> order(threads.size());
  std::iota(order.begin(), order.end(), 0u);
  for (bool moved = true; moved;) {
    if (random_numbers() % 4 == 0) std::shuffle(order.begin(), order.end(), random_numbers);
    if (random_numbers() % 2 == 0) std::reverse(order.begin(), order.end());
    // Some ranks are held up, so that others get ahead of them as far as the barriers allow.
    const unsigned held_up = ranks > 1 ? random_numbers() : 0;
    moved = false;
    for (const unsigned i : order) {
      running = &threads[i];
      if (running->waiting != Waiting::for_nobody) continue;
      moved = true;
      if (!(held_up >> running->rank & 1)) switch_stack(&scheduler, running->stack_pointer);
      if (!failure.empty()) return;
    }
    moved |= release_groups(threads, kWarp, Waiting::for_warp);
    moved |= release_groups(threads, block_threads, Waiting::for_block);
    moved |= release_groups(threads, static_cast<unsigned>(threads.size()), Waiting::for_cluster);
  }
  for (Thread& thread : threads) {
    running = &thread;
    if (thread.waiting != Waiting::no_more) return note_failure("waits for others, who do not come");
  }
  count_wavefronts();
}

const Kernel* find(const void* function) {
  const auto name = names().find(function);
  if (name == names().end()) return nullptr;
  for (const Kernel* kernel = kernel_table; kernel->name; ++kernel)
    if (name->second == kernel->name) return kernel;
  return nullptr;
}

unsigned ranks_of(const cudaLaunchConfig_t& config) {
  for (unsigned i = 0; i < config.numAttrs; ++i)
    if (config.attrs[i].id == cudaLaunchAttributeClusterDimension) return config.attrs[i].val.clusterDim.x;
  return 1;
}

}  // namespace

unsigned ulps_off = 0;

void fail(const std::string& what) {
  note_failure(what);
  running->wait(Waiting::no_more);
  std::abort();
}

void check_global(uint64_t address, unsigned bytes) {
  const auto after = allocated.upper_bound(address);
  const bool inside =
      after != allocated.begin() && address + bytes <= std::prev(after)->first + std::prev(after)->second;
  if (!inside) fail("global memory that is not allocated");
  if (address % bytes) fail("misaligned");
}

void Thread::wait(Waiting for_whom) {
  waiting = for_whom;
  switch_stack(&stack_pointer, scheduler);
}

extern "C" {

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** arguments) {
  const Kernel* kernel = find(function);
  if (!kernel) return cudaErrorInvalidDeviceFunction;
  const unsigned ranks = ranks_of(*config);
  if (config->gridDim.x == 0 || ranks > kMostRanks || config->gridDim.x % ranks) return cudaErrorInvalidConfiguration;
  const auto allowed = allowed_shared_bytes.find(function);
  const int most = allowed == allowed_shared_bytes.end() ? kSharedWithoutAsking : allowed->second;
  if (config->dynamicSmemBytes > static_cast<std::size_t>(most)) return cudaErrorInvalidValue;
  if (config->blockDim.x > kernel->most_threads || config->blockDim.x % kWarp) return cudaErrorInvalidValue;
  std::vector<Chunk> parameter(kernel->parameter_bytes / sizeof(Chunk) + 1);
  std::memcpy(parameter.data(), arguments[0], kernel->parameter_bytes);
  running_kernel = kernel;
  failure.clear();
  const char* ulps = std::getenv("FLOWKIT_PTX_ULPS");
  ulps_off = ulps ? static_cast<unsigned>(std::atoi(ulps)) : 0;
  for (unsigned block = 0; block < config->gridDim.x && failure.empty(); block += ranks)
    run_cluster(*config, block, ranks, parameter);
  return failure.empty() ? cudaSuccess : cudaErrorLaunchFailure;
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute, int value) {
  if (value > kSharedBytes) return cudaErrorInvalidValue;
  allowed_shared_bytes[function] = value;
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  *attributes = {};
  attributes->maxThreadsPerBlock = static_cast<int>(find(function)->most_threads);
  attributes->binaryVersion = 90;
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void*, const cudaLaunchConfig_t*) {
  *clusters = kClustersAtATime;
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int, std::size_t,
                                                                   unsigned) {
  *blocks = kBlocksAtATime;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrMultiProcessorCount ? kMultiprocessors : kSharedBytes;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "the host, running PTX");
  properties->major = 9;
  properties->totalGlobalMem = kMemory;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* all_bytes) {
  *free_bytes = *all_bytes = kMemory;
  return cudaSuccess;
}

// Behind each allocation stays a gap.
cudaError_t cudaMallocAsync(void** address, std::size_t bytes, cudaStream_t) {
  const std::size_t taken = (bytes / 256 + 2) * 256;
  *address = std::aligned_alloc(256, taken);
  std::memset(*address, kPoison, taken);
  allocated[reinterpret_cast<uint64_t>(*address)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeAsync(void* address, cudaStream_t) {
  allocated.erase(reinterpret_cast<uint64_t>(address));
  std::free(address);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorLaunchFailure ? failure.c_str() : "the runtime of the tests refuses it";
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

// What nvcc's host code calls before main.
void __cudaRegisterFunction(void**, const char* function, char* name, const char*, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  names()[function] = name;
}
void** __cudaRegisterFatBinary(void*) {
  static void* handle = nullptr;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 0; }
// The stubs of kernels that nobody launches with <<<>>>.
cudaError_t __cudaGetKernel(cudaKernel_t*, const void*) { return cudaErrorNotSupported; }
cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void**, std::size_t, cudaStream_t) {
  return cudaErrorNotSupported;
}
cudaError_t __cudaPopCallConfiguration(dim3*, dim3*, std::size_t*, void*) { return cudaErrorNotSupported; }
}
