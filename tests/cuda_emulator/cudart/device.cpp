// The device, errors, driver entry points.

#include <cstring>
#include <map>
#include <utility>

#include <cuda.h>

#include "cuda_emulator/cuda_emulator.h"
#include "cuda_emulator/cudart/runtime.h"
#include "cuda_emulator/runtime/tensor_map.h"

namespace cuda_emulator {

const std::string& last_message() { return cudart::runtime().message; }

void reset_errors() {
  const std::lock_guard lock(cudart::runtime().mutex);
  cudart::runtime().sticky = cudaSuccess;
  cudart::runtime().message.clear();
  cudart::last_error() = cudaSuccess;
}

namespace cudart {

Runtime& runtime() {
  static Runtime instance;
  return instance;
}

cudaError_t& last_error() {
  static thread_local cudaError_t instance = cudaSuccess;
  return instance;
}

cudaError_t error(cudaError_t code, std::string message) {
  runtime().message = std::move(message);
  return code;
}

Stream* Runtime::find(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread) {
    return &legacy_;
  }
  auto* const stream = reinterpret_cast<Stream*>(handle);
  return streams.contains(stream) ? stream : nullptr;
}

Capture* Runtime::capture_of_blocking_stream() {
  for (const Stream* stream : streams) {
    if (stream->is_blocking && stream->capture) return stream->capture;
  }
  return nullptr;
}

}  // namespace cudart
}  // namespace cuda_emulator

using namespace cuda_emulator;
using namespace cuda_emulator::cudart;

namespace {

constexpr int kThreadsPerSm = 2048, kRegistersPerSm = 65536, kL2Bytes = 50 << 20;
constexpr int kDefaultShared = 48 << 10, kReservedShared = 1 << 10;

const std::map<cudaError_t, const char*>& error_names() {
#define CUDA_EMULATOR_NAME(name) \
  { name, #name }
  static const std::map<cudaError_t, const char*> names = {
      CUDA_EMULATOR_NAME(cudaSuccess),
      CUDA_EMULATOR_NAME(cudaErrorInvalidValue),
      CUDA_EMULATOR_NAME(cudaErrorMemoryAllocation),
      CUDA_EMULATOR_NAME(cudaErrorInvalidConfiguration),
      CUDA_EMULATOR_NAME(cudaErrorInvalidSymbol),
      CUDA_EMULATOR_NAME(cudaErrorInvalidDevice),
      CUDA_EMULATOR_NAME(cudaErrorInvalidDeviceFunction),
      CUDA_EMULATOR_NAME(cudaErrorNoKernelImageForDevice),
      CUDA_EMULATOR_NAME(cudaErrorInvalidResourceHandle),
      CUDA_EMULATOR_NAME(cudaErrorIllegalState),
      CUDA_EMULATOR_NAME(cudaErrorIllegalAddress),
      CUDA_EMULATOR_NAME(cudaErrorLaunchTimeout),
      CUDA_EMULATOR_NAME(cudaErrorHostMemoryNotRegistered),
      CUDA_EMULATOR_NAME(cudaErrorNotSupported),
      CUDA_EMULATOR_NAME(cudaErrorStreamCaptureUnsupported),
      CUDA_EMULATOR_NAME(cudaErrorStreamCaptureInvalidated),
      CUDA_EMULATOR_NAME(cudaErrorStreamCaptureMerge),
      CUDA_EMULATOR_NAME(cudaErrorStreamCaptureUnmatched),
      CUDA_EMULATOR_NAME(cudaErrorStreamCaptureUnjoined),
      CUDA_EMULATOR_NAME(cudaErrorStreamCaptureIsolation),
      CUDA_EMULATOR_NAME(cudaErrorStreamCaptureImplicit),
      CUDA_EMULATOR_NAME(cudaErrorCapturedEvent),
      CUDA_EMULATOR_NAME(cudaErrorStreamCaptureWrongThread),
      CUDA_EMULATOR_NAME(cudaErrorGraphExecUpdateFailure),
  };
#undef CUDA_EMULATOR_NAME
  return names;
}

CUresult CUDAAPI encode_tiled(CUtensorMap* map,
                              CUtensorMapDataType type,
                              cuuint32_t rank,
                              void* address,
                              const cuuint64_t* dims,
                              const cuuint64_t* strides,
                              const cuuint32_t* box,
                              const cuuint32_t* element_strides,
                              CUtensorMapInterleave interleave,
                              CUtensorMapSwizzle swizzle,
                              CUtensorMapL2promotion,
                              CUtensorMapFloatOOBfill) {
  // [CUtensorMapDataType]
  static constexpr int kElementBytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
  const TensorMapShape shape{kElementBytes[static_cast<int>(type)],
                             rank,
                             address,
                             reinterpret_cast<const u64*>(dims),
                             reinterpret_cast<const u64*>(strides),
                             box,
                             element_strides,
                             static_cast<int>(interleave),
                             static_cast<int>(swizzle)};
  return encode_tensor_map(map, shape) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/// Value of an attribute, or -1.
int attribute_value(cudaDeviceAttr attribute) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      return options().sm_count;
    case cudaDevAttrComputeCapabilityMajor:
      return options().arch / 10;
    case cudaDevAttrComputeCapabilityMinor:
      return options().arch % 10;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return kDefaultShared;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return static_cast<int>(max_shared_bytes());
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return static_cast<int>(max_shared_bytes()) + kReservedShared;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      return kReservedShared;
    case cudaDevAttrMaxThreadsPerBlock:
      return 1024;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return kThreadsPerSm;
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      return kRegistersPerSm;
    case cudaDevAttrMaxRegistersPerBlock:
      return kRegistersPerSm;
    case cudaDevAttrWarpSize:
      return 32;
    case cudaDevAttrL2CacheSize:
      return kL2Bytes;
    case cudaDevAttrUnifiedAddressing:
      return 1;
    case cudaDevAttrMemoryPoolsSupported:
      return 1;
    case cudaDevAttrCooperativeLaunch:
      return 0;
    case cudaDevAttrIntegrated:
      return 0;
    default:
      return -1;
  }
}

cudaError_t no_device() { return error(cudaErrorInvalidDevice, "there is one device, number 0"); }

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return api([&] { return device == 0 ? cudaSuccess : no_device(); });
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  return waiting_api("cudaDeviceSynchronize", [] { return cudaSuccess; });
}
cudaError_t cudaDeviceReset() { return cudaSuccess; }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return api([&] {
    if (device != 0) return no_device();
    const auto shared = static_cast<size_t>(max_shared_bytes());
    *properties = {};
    std::strcpy(properties->name, "CUDA emulator");
    properties->major = options().arch / 10;
    properties->minor = options().arch % 10;
    properties->multiProcessorCount = options().sm_count;
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = 1024;
    properties->maxThreadsDim[0] = properties->maxThreadsDim[1] = 1024;
    properties->maxThreadsDim[2] = 64;
    properties->maxGridSize[0] = 0x7fffffff;
    properties->maxGridSize[1] = properties->maxGridSize[2] = 65535;
    properties->maxThreadsPerMultiProcessor = kThreadsPerSm;
    properties->maxBlocksPerMultiProcessor = 32;
    properties->sharedMemPerBlock = kDefaultShared;
    properties->sharedMemPerBlockOptin = shared;
    properties->sharedMemPerMultiprocessor = shared + kReservedShared;
    properties->reservedSharedMemPerBlock = kReservedShared;
    properties->regsPerBlock = properties->regsPerMultiprocessor = kRegistersPerSm;
    properties->l2CacheSize = kL2Bytes;
    properties->totalGlobalMem = options().memory_bytes;
    properties->unifiedAddressing = 1;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return api([&] {
    if (device != 0) return no_device();
    *value = attribute_value(attribute);
    return *value >= 0 ? cudaSuccess : error(cudaErrorInvalidValue, "attribute is not known");
  });
}

cudaError_t cudaGetLastError() {
  const std::lock_guard lock(runtime().mutex);
  return std::exchange(last_error(), runtime().sticky);
}
cudaError_t cudaPeekAtLastError() { return last_error(); }
const char* cudaGetErrorName(cudaError_t code) {
  const auto found = error_names().find(code);
  return found == error_names().end() ? "unrecognized error code" : found->second;
}
/// The text of the last error, which says more than that of the code.
const char* cudaGetErrorString(cudaError_t code) {
  if (code == cudaSuccess) return "no error";
  const std::string& message = runtime().message;
  return message.empty() ? cudaGetErrorName(code) : message.c_str();
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol,
                                             void** function,
                                             unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  const bool is_known = !std::strcmp(symbol, "cuTensorMapEncodeTiled");
  *function = is_known ? reinterpret_cast<void*>(encode_tiled) : nullptr;
  if (result) *result = is_known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

}  // extern "C"
