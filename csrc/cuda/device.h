// What GPUs there are, and which one a thread works on.
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

// Asks for the number of GPUs each time, so that a forked process finds out that it has none, and for what they are
// once.
Devices cuda_devices();

// Makes the calling thread's CUDA calls go to a device as long as it lives. Throws std::runtime_error where that device
// cannot be used.
//
// By the driver's stack of contexts, since cudaSetDevice has no way back: to set the device that cudaGetDevice names in
// a thread that never had one, which is 0, makes a context there, of hundreds of MB on a GPU that nobody uses.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;
};

}  // namespace flowkit
