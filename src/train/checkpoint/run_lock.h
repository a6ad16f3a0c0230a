#pragma once
// Two runs that write into one output folder would spoil each other's checkpoints.

#include <filesystem>

namespace dms::train {

/// Holds OUTPUT_DIR/.run-lock for as long as it lives; the system lets go of it when the process
/// ends, however that comes. Works between machines where their file system locks.
class RunLock {
 public:
  /// Creates the folder where it is missing. Throws InputError when another process holds it,
  /// naming that, or when the folder cannot be written.
  explicit RunLock(const std::filesystem::path& output_dir);
  ~RunLock();

  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int file_;
};

}  // namespace dms::train
