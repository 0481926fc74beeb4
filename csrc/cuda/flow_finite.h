// The program that finds flows with NaN or infinity in them.
#pragma once

#include "features.h"

namespace flowkit {

// A flag for each flow, by one team: so nothing has to be cleared before, and no two teams write the same flag.
struct FlagFinite : Program {
  static constexpr int kWarps = kMostThreads / kWarp;
  const float* flow;    // (n, 2, h, w)
  std::int64_t floats;  // of one flow
  int n;
  std::uint8_t* finite;

  FlagFinite(const float* flow, Size size, int n, std::uint8_t* finite)
      : flow(flow), floats(std::int64_t{2} * size.width * size.height), n(n), finite(finite) {}
  std::size_t shared_bytes() const { return kWarps * sizeof(float); }

  // 1 where a float that this thread looks at is not finite, else 0.
  FLOWKIT_DEVICE float spoiled(int at, int thread) const {
    constexpr std::uint32_t exponent = 0x7f800000u;
    const float* values = flow + at * floats;
    float found = 0.0f;
    for (std::int64_t i = thread; i < floats; i += kMostThreads)
      if ((bits_of(values[i]) & exponent) == exponent) found = 1.0f;
    return found;
  }

  template <class Team>
  FLOWKIT_DEVICE void operator()(Team& team) const {
    for (int at = team.index(); at < n; at += team.teams()) {
      team.for_each([&](int, int thread) { return spoiled(at, thread); },
                    [&](int rank, int warp, float sum) { team.template shared<float>(rank)[warp] = sum; });
      team.for_each([&](int rank, int thread) {
        if (thread != 0) return;
        float sum = 0.0f;
        for (int warp = 0; warp < kWarps; ++warp) sum += team.template shared<float>(rank)[warp];
        finite[at] = sum == 0.0f;
      });
    }
  }
};

template <class Launcher>
void launch_flow_finite(Launcher& launcher, const float* flow, Size size, int n, std::uint8_t* finite) {
  launcher.loop(FlagFinite(flow, size, n, finite), n);
}

}  // namespace flowkit
