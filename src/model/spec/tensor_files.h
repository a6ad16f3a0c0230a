#pragma once
// The safetensors files that together hold a model, and where each tensor lies in them. Thread-safe
// after construction.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/spec/safetensors.h"

namespace dms {

struct LocatedTensor {
  const SafetensorsFile* file;
  const TensorEntry* entry;
};

class TensorFiles {
 public:
  /// Reads the files' headers. Throws InputError on a damaged file, or a tensor in two of them.
  explicit TensorFiles(const std::vector<std::filesystem::path>& paths);

  const std::map<std::string, LocatedTensor, std::less<>>& all() const { return tensors_; }
  /// Null where no file holds the tensor.
  const LocatedTensor* find(std::string_view name) const;

 private:
  std::vector<SafetensorsFile> files_;
  std::map<std::string, LocatedTensor, std::less<>> tensors_;
};

/// Values [first, first + out.size()) of a tensor, as float32. Its type must be F32, F16 or
/// BF16. Throws RunError when the file has been cut short since it was opened.
void read_values(const LocatedTensor& tensor, int64_t first, std::span<float> out);

}  // namespace dms
