// How the iterations of one level are laid out on a device. Plain arithmetic, the same for every backend of the block
// programs.
#pragma once

#include <string>

#include "../tvl1_params.h"
#include "team.h"

namespace flowkit {

// What a device offers one team, and, for tests, what to choose.
struct DeviceLimits {
  std::size_t shared_bytes = 0;  // a block may ask for
  int most_ranks = 1;            // blocks of a cluster
  int most_threads = 512;        // of a block of the iteration
  int tile_iterations = 8;       // that a tile runs a launch
  enum class Force { none, resident, tiled } force = Force::none;
};

// Takes what to choose from a word: "resident", "tiled", or "tiled:N" for N iterations a launch; an empty one changes
// nothing. Throws std::invalid_argument on any other.
void choose_variant(const std::string& word, DeviceLimits& limits);

// A *cell* is the 4 x 4 pixels that one thread owns: as many as the registers of 512 threads hold. A *region* is what
// one rank keeps on chip: columns x rows cells.
constexpr int kCellColumns = 4, kCellRows = 4;

struct IterationPlan {
  bool resident;      // the ranks of one team hold the whole level, each a band of rows; else one rank holds a tile
  int columns, rows;  // cells of a region
  int ranks;
  int tiles_x, tiles_y;
  int iterations;  // most of a launch

  FLOWKIT_HD int cells() const { return columns * rows; }
  FLOWKIT_HD int threads() const { return (cells() + kWarp - 1) / kWarp * kWarp; }
  FLOWKIT_HD int width() const { return columns * kCellColumns; }
  FLOWKIT_HD int height() const { return rows * kCellRows; }
  FLOWKIT_HD int tiles() const { return tiles_x * tiles_y; }
  // Iterations spoil a tile from its edges inwards, one pixel each; the left edge lies on a multiple of four pixels.
  FLOWKIT_HD int halo_x() const { return resident ? 0 : (iterations + 3) / 4 * 4; }
  FLOWKIT_HD int halo_y() const { return resident ? 0 : iterations; }
  FLOWKIT_HD int step_x() const { return width() - 2 * halo_x(); }
  FLOWKIT_HD int step_y() const { return height() - 2 * halo_y(); }
  std::size_t shared_bytes() const;
};

// Shared memory of a region: sums of warps and ranks and the task; then of each cell five constants a pixel, two edges
// each of u and v and two of their duals, and a word of flags. cell.h has the layout.
constexpr int kMostRanks = 8, kMostWarps = 32;
constexpr std::size_t kHeaderBytes = 256;
constexpr std::size_t kCellBytes = (5 * kCellRows + 8) * sizeof(Float4) + sizeof(std::uint32_t);

// The resident variant on as few ranks as hold the level, or else tiles as large as fit, cut so that the work outside
// the image and in halos is least. Throws std::invalid_argument where nothing fits.
IterationPlan plan_iteration(Size size, const DeviceLimits& limits);

}  // namespace flowkit
