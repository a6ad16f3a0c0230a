#include "cuda/device.h"
#include "devices.h"

namespace dms::python {

void add_devices() { cuda::add_cuda_device(); }

}  // namespace dms::python
