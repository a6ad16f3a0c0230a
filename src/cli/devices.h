#pragma once
// The devices that this program was built with: cpu_device.cpp or cuda_device.cpp.

namespace dms::cli {

/// Lets models be opened on them.
void add_devices();

}  // namespace dms::cli
