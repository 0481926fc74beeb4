// The calls of the CUDA runtime and driver that flowkit makes. Memory of a device is memory of the host, streams run at
// once. There are several devices, which differ in what they offer; each thread has a stack of contexts, and a context
// is made where one is needed, as by the real ones.
#include <cuda.h>
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <thread>

#include "standin.h"

namespace {

constexpr int kMultiprocessors = 2, kBlocksAtATime = 2, kClustersAtATime = 2;  // few, so that teams take several items
constexpr int kSharedWithoutAsking = 48 * 1024;
constexpr std::size_t kMemory = std::size_t{1} << 28;  // of a device

struct Device {
  const char* name;
  int architecture, shared_bytes;
  int most_ranks;         // of a cluster that it has room for
  bool refuses_clusters;  // by an error, not by room for none
};

constexpr Device kDevices[] = {
    {"sm_90", 90, 232448, 8, false},
    {"sm_90 with clusters of two", 90, 232448, 2, false},
    {"sm_90 without clusters", 90, 232448, 1, true},
    {"sm_80", 80, 166912, 1, true},
    {"sm_86", 86, 101376, 1, true},
    {"sm_75", 75, 65536, 1, true},
};
constexpr int kDeviceCount = sizeof kDevices / sizeof *kDevices;

std::mutex world;
std::map<std::string, int> calls;
std::map<std::pair<int, const void*>, int> allowed_shared_bytes;
bool has_context[kDeviceCount];
unsigned most_threads = 0;  // of a block of the iteration, since somebody asked
std::string failure;        // of the last launch

thread_local int chosen_device = 0;
thread_local std::vector<int> contexts;  // of the driver's stack: their devices
thread_local cudaError_t last_error = cudaSuccess;

// Filled before main, by code that nvcc adds.
std::map<const void*, std::string>& names() {
  static std::map<const void*, std::string> all;
  return all;
}

// Counts a call, and keeps others out as long as it lives.
class Call {
 public:
  explicit Call(const char* name) : lock_(world) { ++calls[name]; }

 private:
  const std::lock_guard<std::mutex> lock_;
};

// The runtime keeps the last error until somebody asks for it.
cudaError_t report(cudaError_t status) {
  if (status != cudaSuccess) last_error = status;
  return status;
}

// The device of the thread's context, which is made if there is none.
int here() {
  if (contexts.empty()) {
    has_context[chosen_device] = true;
    contexts.push_back(chosen_device);
  }
  return contexts.back();
}

bool is_here(cudaStream_t stream) { return !stream || *reinterpret_cast<int*>(stream) == here(); }

const Kernel* find(const void* function) {
  const auto name = names().find(function);
  if (name == names().end()) return nullptr;
  const int architecture = kDevices[here()].architecture;
  for (const Kernel* kernel = kernel_table; kernel->name; ++kernel)
    if (kernel->architecture == architecture && name->second == kernel->name) return kernel;
  return nullptr;
}

unsigned ranks_of(const cudaLaunchConfig_t& config) {
  for (unsigned i = 0; i < config.numAttrs; ++i)
    if (config.attrs[i].id == cudaLaunchAttributeClusterDimension) return config.attrs[i].val.clusterDim.x;
  return 1;
}

cudaError_t problem_of(const cudaLaunchConfig_t& config, const void* function, const Kernel& kernel) {
  const unsigned ranks = ranks_of(config);
  if (config.gridDim.x == 0 || config.gridDim.x % ranks) return cudaErrorInvalidConfiguration;
  if (ranks > static_cast<unsigned>(kDevices[here()].most_ranks)) return cudaErrorInvalidClusterSize;
  const auto allowed = allowed_shared_bytes.find({here(), function});
  const int most = allowed == allowed_shared_bytes.end() ? kSharedWithoutAsking : allowed->second;
  if (config.dynamicSmemBytes > static_cast<std::size_t>(most)) return cudaErrorInvalidValue;
  if (config.blockDim.x > kernel.most_threads || config.blockDim.x % kWarp) return cudaErrorInvalidValue;
  return is_here(config.stream) ? cudaSuccess : cudaErrorInvalidResourceHandle;
}

}  // namespace

std::size_t option(const char* name, std::size_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

extern "C" {

// ---- what tests ask

int standin_calls(const char* name) {
  const std::lock_guard<std::mutex> lock(world);
  return calls[name];
}
int standin_has_context(int device) {
  const std::lock_guard<std::mutex> lock(world);
  return has_context[device];
}
// The most threads of a block of the iteration since the last question.
unsigned standin_most_threads() {
  const std::lock_guard<std::mutex> lock(world);
  return std::exchange(most_threads, 0u);
}

// ---- kernels

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** arguments) {
  const Call call(__func__);
  const Kernel* kernel = find(function);
  if (!kernel) return report(cudaErrorNoKernelImageForDevice);
  if (const cudaError_t problem = problem_of(*config, function, *kernel)) return report(problem);
  if (std::strstr(kernel->name, "Iterate")) most_threads = std::max(most_threads, config->blockDim.x);
  failure = run_launch(*kernel, *config, ranks_of(*config), arguments[0], here());
  return report(failure.empty() ? cudaSuccess : cudaErrorLaunchFailure);
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute, int value) {
  const Call call(__func__);
  if (!find(function)) return report(cudaErrorNoKernelImageForDevice);
  if (value > kDevices[here()].shared_bytes) return report(cudaErrorInvalidValue);
  allowed_shared_bytes[{here(), function}] = value;
  return cudaSuccess;
}

// The first use of a kernel loads it.
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  std::this_thread::sleep_for(std::chrono::milliseconds(option("FLOWKIT_PTX_LOAD_MS", 0)));
  const Call call(__func__);
  const Kernel* kernel = find(function);
  if (!kernel) return report(cudaErrorNoKernelImageForDevice);
  *attributes = {};
  attributes->maxThreadsPerBlock = static_cast<int>(kernel->most_threads);
  attributes->binaryVersion = kernel->architecture;
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void*, const cudaLaunchConfig_t* config) {
  const Call call(__func__);
  const Device& device = kDevices[here()];
  *clusters = ranks_of(*config) <= static_cast<unsigned>(device.most_ranks) ? kClustersAtATime : 0;
  return report(device.refuses_clusters ? cudaErrorNotSupported : cudaSuccess);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int, std::size_t,
                                                                   unsigned) {
  const Call call("cudaOccupancyMaxActiveBlocksPerMultiprocessor");
  *blocks = kBlocksAtATime;
  return cudaSuccess;
}

// ---- devices

cudaError_t cudaGetDeviceCount(int* count) {
  const Call call(__func__);
  *count = kDeviceCount;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  const Call call(__func__);
  if (device < 0 || device >= kDeviceCount) return report(cudaErrorInvalidDevice);
  *value = attribute == cudaDevAttrMultiProcessorCount ? kMultiprocessors : kDevices[device].shared_bytes;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const Call call("cudaGetDeviceProperties");
  *properties = {};
  std::strcpy(properties->name, kDevices[device].name);
  properties->major = kDevices[device].architecture / 10;
  properties->minor = kDevices[device].architecture % 10;
  properties->totalGlobalMem = kMemory;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  const Call call(__func__);
  *device = contexts.empty() ? chosen_device : contexts.back();
  return cudaSuccess;
}

// Makes a context there at once, since CUDA 12.
cudaError_t cudaSetDevice(int device) {
  const Call call(__func__);
  if (device < 0 || device >= kDeviceCount) return report(cudaErrorInvalidDevice);
  if (!contexts.empty()) contexts.pop_back();
  chosen_device = device;
  here();
  return cudaSuccess;
}

// ---- memory and streams

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* all_bytes) {
  const Call call(__func__);
  *all_bytes = option("FLOWKIT_PTX_MEMORY", kMemory);
  *free_bytes = *all_bytes - std::min(*all_bytes, allocated_bytes(here()));
  return cudaSuccess;
}

// FLOWKIT_PTX_LARGEST: no allocation is larger, as where others took memory since somebody asked how much there is.
cudaError_t cudaMallocAsync(void** address, std::size_t bytes, cudaStream_t stream) {
  const Call call(__func__);
  if (!is_here(stream)) return report(cudaErrorInvalidResourceHandle);
  const std::size_t memory = option("FLOWKIT_PTX_MEMORY", kMemory);
  if (allocated_bytes(here()) + bytes > memory || bytes > option("FLOWKIT_PTX_LARGEST", memory))
    return report(cudaErrorMemoryAllocation);
  *address = allocate(bytes, here());
  return cudaSuccess;
}

cudaError_t cudaFreeAsync(void* address, cudaStream_t stream) {
  const Call call(__func__);
  if (!is_here(stream)) return report(cudaErrorInvalidResourceHandle);
  return report(release(address) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const Call call(__func__);
  if (!is_here(stream)) return report(cudaErrorInvalidResourceHandle);
  if (!is_allocated(kind == cudaMemcpyHostToDevice ? to : from, bytes, here())) return report(cudaErrorInvalidValue);
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const Call call(__func__);
  *stream = reinterpret_cast<cudaStream_t>(new int(here()));
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Call call(__func__);
  delete reinterpret_cast<int*>(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Call call(__func__);
  return report(is_here(stream) ? cudaSuccess : cudaErrorInvalidResourceHandle);
}

// ---- errors and versions

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }
const char* cudaGetErrorString(cudaError_t error) {
  if (error == cudaErrorLaunchFailure) return failure.c_str();
  return error == cudaErrorMemoryAllocation ? "out of memory" : "the runtime of the tests refuses it";
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

// ---- the driver, in the library that flowkit opens

CUresult cuInit(unsigned) { return CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice* handle, int device) {
  *handle = device;
  return device >= 0 && device < kDeviceCount ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
// A context is its device's number, plus one.
CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  const Call call(__func__);
  has_context[device] = true;
  *context = reinterpret_cast<CUcontext>(device + std::intptr_t{1});
  return CUDA_SUCCESS;
}
CUresult cuCtxPushCurrent(CUcontext context) {
  contexts.push_back(static_cast<int>(reinterpret_cast<std::intptr_t>(context)) - 1);
  return CUDA_SUCCESS;
}
CUresult cuCtxPopCurrent(CUcontext*) {
  if (contexts.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  contexts.pop_back();
  return CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult, const char** words) {
  *words = "the driver of the tests refuses it";
  return CUDA_SUCCESS;
}

void* dlopen(const char* library, int) noexcept { return std::strcmp(library, "libcuda.so.1") ? nullptr : &world; }
void* dlsym(void*, const char* name) noexcept {
  static const std::map<std::string, void*> known = {
      {"cuInit", reinterpret_cast<void*>(&cuInit)},
      {"cuDeviceGet", reinterpret_cast<void*>(&cuDeviceGet)},
      {"cuDevicePrimaryCtxRetain", reinterpret_cast<void*>(&cuDevicePrimaryCtxRetain)},
      {"cuCtxPushCurrent_v2", reinterpret_cast<void*>(&cuCtxPushCurrent)},
      {"cuCtxPopCurrent_v2", reinterpret_cast<void*>(&cuCtxPopCurrent)},
      {"cuGetErrorString", reinterpret_cast<void*>(&cuGetErrorString)},
  };
  const auto found = known.find(name);
  return found == known.end() ? nullptr : found->second;
}

// ---- what nvcc's host code calls before main

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
