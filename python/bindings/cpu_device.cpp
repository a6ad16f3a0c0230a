// A build without CUDA has no device but the CPU.

#include "devices.h"

namespace dms::python {

void add_devices() {}

}  // namespace dms::python
