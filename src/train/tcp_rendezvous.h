#pragma once
// How ranks that torchrun started meet.

#include <chrono>
#include <string>

#include "train/launch.h"

namespace dms::train {

/// Gives every rank what rank 0 passes, over c10d's TCPStore at launch.address and launch.port.
/// Throws RunError when a rank does not come within `timeout`.
std::string share_over_tcp(const Launch& launch,
                           const std::string& bytes,
                           std::chrono::seconds timeout = std::chrono::seconds(60));

}  // namespace dms::train
