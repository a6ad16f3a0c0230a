#pragma once
// The bytes of a whole file, for those who would keep parts of it. Where nobody but this user may
// write the file it is mapped, privately: pages are read when they are touched, and what is written
// to them stays here. Such a file is to be replaced, never changed in place: one that is cut short
// under a mapping ends the process. Any other file is read.

#include <filesystem>
#include <memory>
#include <string_view>

namespace dms {

/// Copies share the bytes. Thread-safe after construction.
class FileImage {
 public:
  /// Throws InputError when the file is missing, not a regular file or unreadable, RunError where
  /// there is no memory for it.
  explicit FileImage(const std::filesystem::path& path);

  std::string_view bytes() const { return bytes_; }
  /// What keeps a mapping alive, to which the owner may write; null where the file was read.
  const std::shared_ptr<const void>& mapping() const { return mapping_; }

 private:
  std::shared_ptr<const void> mapping_;
  std::shared_ptr<const void> text_;
  std::string_view bytes_;
};

}  // namespace dms
