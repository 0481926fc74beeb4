#pragma once

namespace flowkit {

// A device and the stream of it that work goes to (a cudaStream_t; null is the default stream).
struct DeviceStream {
  int device;
  void* stream;
};

}  // namespace flowkit
