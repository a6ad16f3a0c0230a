#pragma once
// What kernels' headers need so that plain C++ may include them too.

#include <cuda_runtime_api.h>

#ifdef __CUDACC__
#define DMS_HOST_DEVICE __host__ __device__
#else
#define DMS_HOST_DEVICE
#endif
