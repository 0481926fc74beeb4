#include "dispatch.h"

#include <atomic>
#include <stdexcept>

namespace flowkit {

namespace simd_baseline {
extern const KernelTable kernels;
}
#if defined(FLOWKIT_X86_LEVELS)
namespace simd_v3 {
extern const KernelTable kernels;
}
namespace simd_v4 {
extern const KernelTable kernels;
}
#endif

namespace {

std::vector<const KernelTable*> runnable() {
  std::vector<const KernelTable*> tables = {&simd_baseline::kernels};
#if defined(FLOWKIT_X86_LEVELS)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
    tables.push_back(&simd_v3::kernels);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    tables.push_back(&simd_v4::kernels);
#endif
  return tables;
}

std::atomic<const KernelTable*>& chosen() {
  static std::atomic<const KernelTable*> table{runnable().back()};
  return table;
}

}  // namespace

std::vector<std::string> simd_levels() {
  std::vector<std::string> names;
  for (const KernelTable* table : runnable()) names.emplace_back(table->level);
  return names;
}

void set_simd(const std::string& name) {
  std::string known = "auto";
  for (const KernelTable* table : runnable()) {
    known += std::string(", ") + table->level;
    if (name == table->level) {
      chosen() = table;
      return;
    }
  }
  if (name != "auto") throw std::invalid_argument("SIMD level '" + name + "' cannot run here; choose one of " + known);
  chosen() = runnable().back();
}

const KernelTable& kernels() { return *chosen(); }

}  // namespace flowkit
