// Kernels: what nvcc's host code registers, their attributes, launches.

#include <algorithm>
#include <map>

#include "cuda_emulator/cuda_emulator.h"
#include "cuda_emulator/cudart/runtime.h"

using namespace cuda_emulator;
using namespace cuda_emulator::cudart;

namespace {

std::map<const void*, Function>& functions() {
  static std::map<const void*, Function> instance;
  return instance;
}

/// Host code registers before the generated code may have: the kernel is looked up at its use.
Function* find_function(const void* stub) {
  const auto found = functions().find(stub);
  if (found == functions().end()) return nullptr;
  Function& function = found->second;
  if (!function.kernel) function.kernel = find_kernel(function.name.c_str());
  return &function;
}

cudaError_t no_function() {
  return error(cudaErrorInvalidDeviceFunction, "kernel is not registered");
}

/// What <<<>>> puts aside for the stub.
struct Configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;

struct LaunchCall {
  dim3 grid, block;
  size_t shared;
  dim3 cluster{0, 0, 0};
};

cudaError_t run_kernel(Kernel& kernel, const LaunchShape& shape, const Params& params) {
  Runtime& rt = runtime();
  if (rt.sticky != cudaSuccess) return rt.sticky;
  std::string message;
  const auto result = static_cast<cudaError_t>(launch(kernel, shape, params, message));
  if (result == cudaSuccess) return result;
  rt.sticky = result;
  std::fprintf(stderr, "cuda_emulator: %s: %s\n", kernel.name, message.c_str());
  return error(result, message);
}

cudaError_t launch_kernel(const void* stub,
                          const LaunchCall& call,
                          void** args,
                          cudaStream_t stream) {
  Function* const function = find_function(stub);
  if (!function) return no_function();
  if (!function->kernel) {
    return error(cudaErrorNoKernelImageForDevice, "no translated PTX for " + function->name);
  }
  if (call.shared > static_cast<size_t>(function->max_dynamic_shared)) {
    return error(cudaErrorInvalidValue,
                 "dynamic shared memory over cudaFuncAttributeMaxDynamicSharedMemorySize");
  }
  const LaunchShape shape{{call.grid.x, call.grid.y, call.grid.z},
                          {call.block.x, call.block.y, call.block.z},
                          {call.cluster.x, call.cluster.y, call.cluster.z},
                          static_cast<u32>(call.shared)};
  Kernel& kernel = *function->kernel;
  std::string message;
  if (const int refused = check_launch(kernel, shape, message)) {
    return error(static_cast<cudaError_t>(refused), message);
  }
  const std::shared_ptr<const Params> params =
      std::make_shared<const Params>(copy_params(kernel, args));
  // A kernel may write its parameters, so a graph gives each run its own.
  return submit(stream, {cudaGraphNodeTypeKernel, stub, [&kernel, shape, params] {
                           return run_kernel(kernel, shape, clone_params(kernel, *params));
                         }});
}

/// Blocks that fit an SM by threads, shared memory and number; registers are not known here.
int blocks_per_sm(const Function& function, int threads, size_t dynamic_shared) {
  constexpr int kThreadsPerSm = 2048, kBlocksPerSm = 32;
  constexpr size_t kReservedShared = 1024;
  const size_t shared = function.kernel->static_shared + dynamic_shared;
  const bool is_too_large = threads <= 0 || threads > 1024 || shared > max_shared_bytes();
  if (is_too_large) return 0;
  const int warps = (threads + 31) / 32;
  const size_t shared_per_sm = max_shared_bytes() + kReservedShared;
  const auto by_shared = static_cast<int>(shared_per_sm / (shared + kReservedShared));
  return std::min({kThreadsPerSm / (32 * warps), by_shared, kBlocksPerSm});
}

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void*) {
  static void* handle;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 1; }
void __cudaRegisterFunction(
    void**, const char* stub, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*, int*) {
  functions()[stub] = Function{name};
}

unsigned __cudaPushCallConfiguration(dim3 grid,
                                     dim3 block,
                                     size_t shared,
                                     struct CUstream_st* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  const Configuration configuration = configurations.back();
  configurations.pop_back();
  *grid = configuration.grid;
  *block = configuration.block;
  *shared = configuration.shared;
  *static_cast<cudaStream_t*>(stream) = configuration.stream;
  return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* stub) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(stub));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(
    cudaKernel_t kernel, dim3 grid, dim3 block, void** args, size_t shared, cudaStream_t stream) {
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, args, shared, stream);
}

cudaError_t cudaLaunchKernel(
    const void* stub, dim3 grid, dim3 block, void** args, size_t shared, cudaStream_t stream) {
  return api([&] { return launch_kernel(stub, {grid, block, shared}, args, stream); });
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* stub, void** args) {
  return api([&] {
    LaunchCall call{config->gridDim, config->blockDim, config->dynamicSmemBytes};
    for (unsigned i = 0; i < config->numAttrs; i++) {
      const cudaLaunchAttribute& attribute = config->attrs[i];
      if (attribute.id == cudaLaunchAttributeClusterDimension) {
        const auto& cluster = attribute.val.clusterDim;
        call.cluster = dim3(cluster.x, cluster.y, cluster.z);
      } else if (attribute.id == cudaLaunchAttributeCooperative && attribute.val.cooperative) {
        return error(cudaErrorNotSupported, "cooperative launches are not emulated");
      }
    }
    return launch_kernel(stub, call, args, config->stream);
  });
}

cudaError_t cudaFuncSetAttribute(const void* stub, cudaFuncAttribute attribute, int value) {
  return api([&] {
    Function* const function = find_function(stub);
    if (!function) return no_function();
    if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) {
      const int used = function->kernel ? static_cast<int>(function->kernel->static_shared) : 0;
      if (value < 0 || value + used > static_cast<int>(max_shared_bytes())) {
        return error(cudaErrorInvalidValue, "more dynamic shared memory than a block can have");
      }
      function->max_dynamic_shared = value;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaFuncSetCacheConfig(const void*, cudaFuncCache) { return cudaSuccess; }

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* stub) {
  return api([&] {
    const Function* const function = find_function(stub);
    if (!function || !function->kernel) return no_function();
    const Kernel& kernel = *function->kernel;
    *attributes = {};
    attributes->sharedSizeBytes = kernel.static_shared;
    attributes->maxThreadsPerBlock =
        kernel.max_threads ? static_cast<int>(kernel.max_threads) : 1024;
    attributes->maxDynamicSharedSizeBytes = function->max_dynamic_shared;
    attributes->ptxVersion = attributes->binaryVersion = options().arch;
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks,
                                                          const void* stub,
                                                          int threads,
                                                          size_t shared) {
  return api([&] {
    const Function* const function = find_function(stub);
    if (!function || !function->kernel) return no_function();
    *blocks = blocks_per_sm(*function, threads, shared);
    return cudaSuccess;
  });
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    int* blocks, const void* stub, int threads, size_t shared, unsigned) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, stub, threads, shared);
}

}  // extern "C"
