#pragma once
// Writes a .safetensors file: tensors are declared first, then their bytes follow in that order, in
// pieces of any size. The file appears under its name when it is complete and on the disk.

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/output_file.h"

namespace dms {

struct TensorDeclaration {
  std::string name;
  std::string dtype;  // the format's spelling: "F32", "BF16", "I64", "U8", …
  std::vector<int64_t> shape{};
};

/// The format's spelling of a type.
std::string_view safetensors_name(DType type);

/// Used by one thread at a time. Destroyed before close(), it leaves no file behind.
class SafetensorsWriter {
 public:
  using Metadata = std::map<std::string, std::string>;

  /// Names must differ, and wider types come before narrower ones where that keeps each tensor
  /// aligned to its element. Throws InputError when the file cannot be created, RunError as
  /// write().
  SafetensorsWriter(const std::filesystem::path& path,
                    const std::vector<TensorDeclaration>& tensors,
                    const Metadata& metadata = {{"format", "pt"}});

  /// The next bytes of the current tensor, at most to its end. Throws RunError naming file and
  /// reason (a full disk).
  void write(std::span<const std::byte> bytes);
  /// The next values of the current tensor, whose type must be F32, BF16 or F16 (both rounded to
  /// nearest even). Throws as write().
  void write_floats(std::span<const float> values);
  /// Checks that every tensor is whole and puts the file in place. Throws as write().
  void close();

 private:
  struct Pending {
    std::string dtype;
    int64_t bytes_left;
  };

  /// Moves on to the next tensor that has bytes to come.
  void skip_complete();
  template <class Convert>
  void write_halves(std::span<const float> values, Convert convert);

  OutputFile file_;
  std::vector<Pending> tensors_;
  size_t current_ = 0;
  std::vector<uint16_t> converted_;
};

}  // namespace dms
