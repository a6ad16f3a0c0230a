// A folder's safetensors as a WeightSource: single file, or shards listed by an index.

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/dtype.h"
#include "base/file_status.h"
#include "dms/error.h"
#include "model/spec/load.h"
#include "model/spec/safetensors.h"
#include "model/spec/shard_index.h"

namespace dms {
namespace {

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "[" + text + "]";
}

/// Reads values of two bytes each, from number `first` of a tensor on, piece by piece.
template <class ToFloat>
void read_halves(const SafetensorsFile& file,
                 const TensorEntry& entry,
                 int64_t first,
                 std::span<float> out,
                 ToFloat to_float_value) {
  constexpr size_t kPiece = size_t{1} << 14;
  std::array<uint16_t, kPiece> storage;
  while (!out.empty()) {
    const auto bits = std::span(storage).first(std::min(kPiece, out.size()));
    file.read(entry, first * 2, std::as_writable_bytes(bits));
    std::ranges::transform(bits, out.begin(), to_float_value);
    first += std::ssize(bits);
    out = out.subspan(bits.size());
  }
}

/// The index of a folder whose weights are not in one file.
std::optional<ShardIndex> find_index(const std::filesystem::path& folder) {
  if (path_exists(folder / kSingleFile)) return std::nullopt;
  const std::filesystem::path path = folder / kIndexFile;
  if (path_exists(path)) return ShardIndex(path);
  throw InputError({.where = folder.string(),
                    .what = "has no weights",
                    .expected = std::string(kSingleFile) + " or " + std::string(kIndexFile)});
}

class Checkpoint final : public WeightSource {
 public:
  /// `where`: the folder or file that a missing tensor is missing from.
  Checkpoint(const std::filesystem::path& where,
             const std::vector<std::filesystem::path>& paths,
             std::span<const WeightName> weights)
      : where_(where) {
    for (const std::filesystem::path& path : paths) files_.emplace_back(path);
    for (const SafetensorsFile& file : files_) {
      for (const auto& [name, entry] : file.tensors()) {
        if (!tensors_.emplace(name, Located{&file, &entry}).second) {
          throw InputError({.where = file.path().string() + ": tensor " + name,
                            .what = "is also in another shard"});
        }
      }
    }
    for (const WeightName& weight : weights) check(weight);
  }

  /// Each weight must lie where the index says: a loader that believes it must see the same ones.
  void check_places(const ShardIndex& index, std::span<const WeightName> weights) const {
    for (const WeightName& weight : weights) {
      const std::string& named = index.file_of(weight.name);
      const std::string actual = find(weight).file->path().filename().string();
      if (actual == named) continue;
      throw InputError({.where = index.where(weight.name),
                        .what = "the tensor is in another file",
                        .got = named,
                        .expected = actual});
    }
  }

  void read_rows(const WeightName& weight,
                 int64_t first,
                 int64_t count,
                 std::span<float> out) const override {
    const Located& tensor = find(weight);
    const int64_t columns = weight.shape.back();
    const int64_t begin = first * columns;
    ensure(std::ssize(out) == count * columns, "row buffer of the wrong size");
    const auto& [file, entry] = tensor;
    const DType type = *parse_dtype(entry->dtype);
    if (type == DType::f32) {
      file->read(*entry, begin * 4, std::as_writable_bytes(out));
    } else if (type == DType::bf16) {
      read_halves(
          *file, *entry, begin, out, [](uint16_t bits) { return to_float(BFloat16{bits}); });
    } else {
      read_halves(*file, *entry, begin, out, half_to_float);
    }
  }

 private:
  struct Located {
    const SafetensorsFile* file;
    const TensorEntry* entry;
  };

  const Located& find(const WeightName& weight) const {
    const auto it = tensors_.find(weight.name);
    if (it == tensors_.end()) {
      throw InputError({.where = where_.string() + ": tensor " + weight.name,
                        .what = "missing",
                        .expected = "shape " + shape_text(weight.shape)});
    }
    return it->second;
  }

  void check(const WeightName& weight) const {
    const Located& tensor = find(weight);
    const std::string where = tensor.file->path().string() + ": tensor " + weight.name;
    if (tensor.entry->shape != weight.shape) {
      throw InputError({.where = where,
                        .what = "wrong shape",
                        .got = shape_text(tensor.entry->shape),
                        .expected = shape_text(weight.shape)});
    }
    if (!parse_dtype(tensor.entry->dtype)) {
      throw InputError({.where = where,
                        .what = "unsupported dtype",
                        .got = tensor.entry->dtype,
                        .expected = "F32, F16 or BF16"});
    }
  }

  std::filesystem::path where_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, Located, std::less<>> tensors_;
};

}  // namespace

std::unique_ptr<WeightSource> open_checkpoint(const std::filesystem::path& folder,
                                              const ModelSpec& spec) {
  const std::vector<WeightName> weights = weight_names(spec);
  const std::optional<ShardIndex> index = find_index(folder);
  if (!index) return open_weight_file(folder / kSingleFile, weights);
  for (const WeightName& weight : weights) index->file_of(weight.name);
  auto checkpoint = std::make_unique<Checkpoint>(folder, index->files(), weights);
  checkpoint->check_places(*index, weights);
  return checkpoint;
}

std::unique_ptr<WeightSource> open_weight_file(const std::filesystem::path& file,
                                               std::span<const WeightName> weights) {
  return std::make_unique<Checkpoint>(file, std::vector{file}, weights);
}

}  // namespace dms
