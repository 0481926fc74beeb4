#include "iteration_plan.h"

#include <algorithm>
#include <stdexcept>

namespace flowkit {

std::size_t IterationPlan::shared_bytes() const { return kHeaderBytes + threads() * kCellBytes; }

namespace {

bool fits(const IterationPlan& plan, const DeviceLimits& limits) {
  return plan.threads() <= limits.most_threads && plan.shared_bytes() <= limits.shared_bytes;
}

bool plan_resident(Size size, const DeviceLimits& limits, IterationPlan& plan) {
  plan.resident = true;
  plan.tiles_x = plan.tiles_y = 1;
  plan.columns = divide_up(size.width, kCellColumns);
  const int rows = divide_up(size.height, kCellRows);
  for (int ranks = 1; ranks <= std::min({limits.most_ranks, kMostRanks, rows}); ++ranks) {
    plan.rows = divide_up(rows, ranks);
    plan.ranks = divide_up(rows, plan.rows);
    if (fits(plan, limits)) return true;
  }
  return false;
}

// Tiles along one axis whose regions are `region` pixels long and overlap by two halos.
int tiles_along(int side, int region, int halo) {
  return region >= side ? 1 : divide_up(side - 2 * halo, region - 2 * halo);
}

bool plan_tiled(Size size, const DeviceLimits& limits, IterationPlan& best) {
  IterationPlan plan = best;
  plan.resident = false;
  plan.ranks = 1;
  plan.iterations = limits.tile_iterations;
  long long least = -1;
  for (plan.columns = 1; plan.columns <= divide_up(size.width, kCellColumns); ++plan.columns)
    for (plan.rows = 1; plan.rows <= divide_up(size.height, kCellRows); ++plan.rows) {
      if (!fits(plan, limits)) break;
      const bool wide = plan.width() >= size.width || plan.step_x() > 0;
      const bool high = plan.height() >= size.height || plan.step_y() > 0;
      if (!wide || !high) continue;
      plan.tiles_x = tiles_along(size.width, plan.width(), plan.halo_x());
      plan.tiles_y = tiles_along(size.height, plan.height(), plan.halo_y());
      const long long work = static_cast<long long>(plan.tiles()) * plan.threads();
      if (least < 0 || work < least) {
        least = work;
        best = plan;
      }
    }
  return least >= 0;
}

}  // namespace

void choose_variant(const std::string& word, DeviceLimits& limits) {
  const std::string variant = word.substr(0, word.find(':'));
  const std::string number = variant == word ? "" : word.substr(variant.size() + 1);
  const bool counts = !number.empty() && number.size() < 4 && number.find_first_not_of("0123456789") == number.npos;
  using Force = DeviceLimits::Force;
  if (word.empty()) return;
  if (variant == "tiled" && (variant == word || (counts && std::stoi(number) > 0))) {
    limits.force = Force::tiled;
    if (counts) limits.tile_iterations = std::stoi(number);
  } else if (word == "resident") {
    limits.force = Force::resident;
  } else {
    throw std::invalid_argument("FLOWKIT_CUDA_VARIANT=" + word +
                                ": give resident, tiled, or tiled:N for N iterations a launch");
  }
}

IterationPlan plan_iteration(Size size, const DeviceLimits& limits) {
  IterationPlan plan = {};
  using Force = DeviceLimits::Force;
  if (limits.force != Force::tiled && plan_resident(size, limits, plan)) return plan;
  if (limits.force != Force::resident && plan_tiled(size, limits, plan)) return plan;
  throw std::invalid_argument("no plan of the iteration for " + std::to_string(size.width) + " x " +
                              std::to_string(size.height) + " px fits " + std::to_string(limits.shared_bytes) +
                              " bytes of shared memory, " + std::to_string(limits.most_threads) + " threads and " +
                              std::to_string(limits.most_ranks) + " ranks");
}

}  // namespace flowkit
