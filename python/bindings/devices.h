#pragma once
// The devices that the module was built with: cpu_device.cpp or cuda_device.cpp.

namespace dms::python {

/// Lets models be opened on them.
void add_devices();

}  // namespace dms::python
