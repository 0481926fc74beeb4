// What GPUs there are.
#pragma once

#include <string>
#include <vector>

namespace flowkit {

struct DeviceInfo {
  std::string name;
  int major, minor;
  std::size_t memory_bytes;
};

// Empty `devices` with the reason in `problem` where no GPU can be used.
struct Devices {
  std::vector<DeviceInfo> devices;
  std::string problem;
};

Devices cuda_devices();

}  // namespace flowkit
