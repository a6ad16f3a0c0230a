// A build without CUDA has no device but the CPU.

#include "cli/devices.h"

namespace dms::cli {

void add_devices() {}

}  // namespace dms::cli
