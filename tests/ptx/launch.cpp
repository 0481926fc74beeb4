// Runs a launch: its clusters one after the other, in an order that changes, each thread of a cluster as a fiber.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>

#include "standin.h"

namespace {

constexpr std::size_t kStackChunks = 2048;

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

void run_cluster(const cudaLaunchConfig_t& config, unsigned cluster_number, unsigned ranks,
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
    threads[i] = {i % block_threads, rank,       cluster_number * ranks + rank,  config.gridDim.x, cluster_number, 0,
                  &cluster,          &parameter, running_kernel->parameter_bytes};
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

// Blocks of a launch may run in any order.
std::vector<unsigned> some_order(unsigned clusters) {
  std::vector<unsigned> order(clusters);
  std::iota(order.begin(), order.end(), 0u);
  const unsigned kind = random_numbers() % 3;
  if (kind == 1) std::reverse(order.begin(), order.end());
  if (kind == 2) std::shuffle(order.begin(), order.end(), random_numbers);
  return order;
}

}  // namespace

unsigned ulps_off = 0;

void fail(const std::string& what) {
  note_failure(what);
  running->wait(Waiting::no_more);
  std::abort();
}

void Thread::wait(Waiting for_whom) {
  waiting = for_whom;
  switch_stack(&stack_pointer, scheduler);
}

std::string run_launch(const Kernel& kernel, const cudaLaunchConfig_t& config, unsigned ranks, const void* argument,
                       int device) {
  std::vector<Chunk> parameter(kernel.parameter_bytes / sizeof(Chunk) + 1);
  std::memcpy(parameter.data(), argument, kernel.parameter_bytes);
  running_kernel = &kernel;
  failure.clear();
  ulps_off = static_cast<unsigned>(option("FLOWKIT_PTX_ULPS", 0));
  const unsigned clusters = config.gridDim.x / ranks;
  begin_launch_in_memory(clusters, device);
  for (const unsigned number : some_order(clusters)) {
    run_cluster(config, number, ranks, parameter);
    if (!failure.empty()) break;
  }
  return failure;
}
