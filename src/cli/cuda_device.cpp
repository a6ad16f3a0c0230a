#include "cli/devices.h"
#include "cuda/device.h"

namespace dms::cli {

void add_devices() { cuda::add_cuda_device(); }

}  // namespace dms::cli
