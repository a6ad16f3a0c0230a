#include "model/spec/tensor_files.h"

#include <algorithm>
#include <array>

#include "base/dtype.h"
#include "dms/error.h"

namespace dms {
namespace {

/// Reads values of two bytes each, from number `first` of a tensor on, piece by piece.
template <class ToFloat>
void read_halves(const LocatedTensor& tensor,
                 int64_t first,
                 std::span<float> out,
                 ToFloat to_float_value) {
  constexpr size_t kPiece = size_t{1} << 14;
  std::array<uint16_t, kPiece> storage;
  while (!out.empty()) {
    const auto bits = std::span(storage).first(std::min(kPiece, out.size()));
    tensor.file->read(*tensor.entry, first * 2, std::as_writable_bytes(bits));
    std::ranges::transform(bits, out.begin(), to_float_value);
    first += std::ssize(bits);
    out = out.subspan(bits.size());
  }
}

}  // namespace

TensorFiles::TensorFiles(const std::vector<std::filesystem::path>& paths) {
  for (const std::filesystem::path& path : paths) files_.emplace_back(path);
  for (const SafetensorsFile& file : files_) {
    for (const auto& [name, entry] : file.tensors()) {
      if (!tensors_.emplace(name, LocatedTensor{&file, &entry}).second) {
        throw InputError({.where = file.path().string() + ": tensor " + name,
                          .what = "is also in another shard"});
      }
    }
  }
}

const LocatedTensor* TensorFiles::find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

void read_values(const LocatedTensor& tensor, int64_t first, std::span<float> out) {
  const DType type = *parse_dtype(tensor.entry->dtype);
  if (type == DType::f32) {
    tensor.file->read(*tensor.entry, first * 4, std::as_writable_bytes(out));
  } else if (type == DType::bf16) {
    read_halves(tensor, first, out, [](uint16_t bits) { return to_float(BFloat16{bits}); });
  } else {
    read_halves(tensor, first, out, half_to_float);
  }
}

}  // namespace dms
