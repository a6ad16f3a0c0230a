#pragma once
// Launches, for the runtime API.

#include <memory>
#include <string>

#include "cuda_emulator/runtime/device.h"

namespace cuda_emulator {

struct LaunchShape {
  u32 grid[3];
  u32 block[3];
  u32 cluster[3];  // 0: as the kernel says
  u32 dynamic_shared;
};

Kernel* find_kernel(const char* name);

/// Returns the cudaError_t of a shape that no device would take, or 0.
int check_launch(const Kernel& kernel, const LaunchShape& shape, std::string& message);

/// A copy of the arguments, for launches to come.
using Params = std::unique_ptr<u8, void (*)(void*)>;
Params copy_params(const Kernel& kernel, void* const* args);
Params clone_params(const Kernel& kernel, const Params& params);

/// Runs to the end; returns the cudaError_t of a kernel that failed, or 0.
int launch(Kernel& kernel, const LaunchShape& shape, const Params& params, std::string& message);

}  // namespace cuda_emulator
