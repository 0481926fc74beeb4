#include "device.h"

#include <cuda.h>
#include <cuda_runtime.h>
#include <dlfcn.h>

#include "check.h"
#include "kept.h"

namespace flowkit {

namespace {

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// The runtime's own words for a missing driver are those for one that is too old.
std::string driver_problem() {
  int version = 0;
  if (cudaDriverGetVersion(&version) != cudaSuccess || version == 0) return "no NVIDIA driver is installed";
  return "its driver is for CUDA " + version_text(version) + " and this build needs " + version_text(CUDART_VERSION);
}

DeviceInfo ask_for_info(int device) {
  cudaDeviceProp p;
  check(cudaGetDeviceProperties(&p, device), "cudaGetDeviceProperties");
  return {p.name, p.major, p.minor, p.totalGlobalMem};
}

// The driver's calls that the runtime has no like of. They are looked up in the library that the runtime opens too:
// to ask the runtime for them may make a context already.
class Driver {
 public:
  static const Driver& loaded() {
    static const Driver driver;
    return driver;
  }

  // Held until the process ends, as the runtime holds those that it makes.
  CUcontext retain_primary(int device) const {
    CUdevice handle = 0;
    CUcontext context = nullptr;
    check_driver(device_get(&handle, device), "cuDeviceGet", device);
    check_driver(retain(&context, handle), "cuDevicePrimaryCtxRetain", device);
    return context;
  }

  void check_driver(CUresult status, const char* call, int device) const {
    if (status == CUDA_SUCCESS) return;
    const char* words = nullptr;
    if (error_string(status, &words) != CUDA_SUCCESS) words = "unknown error";
    throw std::runtime_error(std::string(call) + " of GPU " + std::to_string(device) + ": " + words);
  }

  decltype(&cuCtxPushCurrent) push;
  decltype(&cuCtxPopCurrent) pop;

 private:
  Driver() {
    library_ = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library_) throw std::runtime_error("CUDA cannot be used: " + driver_problem());
    find(push, "cuCtxPushCurrent_v2");
    find(pop, "cuCtxPopCurrent_v2");
    find(init, "cuInit");
    find(device_get, "cuDeviceGet");
    find(retain, "cuDevicePrimaryCtxRetain");
    find(error_string, "cuGetErrorString");
    check_driver(init(0), "cuInit", 0);
  }

  template <class Function>
  void find(Function& function, const char* name) {
    function = reinterpret_cast<Function>(dlsym(library_, name));
    if (!function) throw std::runtime_error(std::string("the NVIDIA driver has no ") + name + ": install a newer one");
  }

  void* library_;
  decltype(&cuInit) init;
  decltype(&cuDeviceGet) device_get;
  decltype(&cuDevicePrimaryCtxRetain) retain;
  decltype(&cuGetErrorString) error_string;
};

}  // namespace

Devices cuda_devices() {
  static Kept<int, DeviceInfo> known;
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    // The runtime keeps the error; a later call must not report it as its own.
    cudaGetLastError();
    return {{}, status == cudaErrorInsufficientDriver ? driver_problem() : cudaGetErrorString(status)};
  }
  Devices found;
  try {
    for (int i = 0; i < count; ++i) found.devices.push_back(known.get(i, [&] { return ask_for_info(i); }));
  } catch (const std::runtime_error& error) {
    return {{}, error.what()};
  }
  if (found.devices.empty()) found.problem = "the driver lists no GPU";
  return found;
}

CurrentDevice::CurrentDevice(int device) {
  static Kept<int, CUcontext> known;
  const Driver& driver = Driver::loaded();
  const CUcontext context = known.get(device, [&] { return driver.retain_primary(device); });
  driver.check_driver(driver.push(context), "cuCtxPushCurrent", device);
}

CurrentDevice::~CurrentDevice() {
  CUcontext ours;
  Driver::loaded().pop(&ours);
}

}  // namespace flowkit
