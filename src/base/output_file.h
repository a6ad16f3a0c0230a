#pragma once
// A file that appears whole or not at all: written without a name where the file system can, else
// under a temporary one beside its target, synced to the disk, then put in place. A process that is
// killed leaves nothing of a nameless file. Where the target is a link, the file it leads to is
// replaced. What is there and no regular file (a device, a pipe) is written directly.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace dms {

/// Used by one thread at a time. Destroyed before close(), it leaves nothing behind.
class OutputFile {
 public:
  /// Throws InputError when the target is a folder, or its folder is missing or not writable,
  /// RunError when the system has no room.
  explicit OutputFile(const std::filesystem::path& target);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  const std::filesystem::path& target() const { return target_; }
  /// Appends. Throws RunError naming the target and the reason (a full disk); the temporary is gone
  /// by then.
  void write(std::span<const std::byte> bytes);
  /// Syncs and renames. Throws RunError as write().
  void close();

 private:
  void open();
  void flush();
  bool place();
  [[noreturn]] void fail(int error_number);
  void discard();

  std::filesystem::path target_;     // as given
  std::filesystem::path file_;       // what is renamed to
  std::filesystem::path temporary_;  // empty: the target is written directly
  bool is_nameless_ = false;         // nothing lies at temporary_
  int fd_ = -1;
  std::vector<std::byte> buffer_;
};

/// Writes a whole small file through an OutputFile.
void write_text_file(const std::filesystem::path& path, std::string_view text);

/// Waits until a file's bytes, or a folder's list of names, are on the disk. Throws RunError.
void sync_to_disk(const std::filesystem::path& path);

/// Throws for a system call that failed while `path` was written: InputError where the path itself
/// is at fault (missing folder, no permission), RunError otherwise.
[[noreturn]] void throw_write_error(const std::filesystem::path& path, int error_number);

}  // namespace dms
