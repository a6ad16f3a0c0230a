// A folder's safetensors as a WeightSource: single file, or shards listed by an index.

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/dtype.h"
#include "dms/error.h"
#include "model/spec/load.h"
#include "model/spec/safetensors.h"

namespace dms {
namespace {

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";
constexpr int64_t kMaxIndexBytes = int64_t{256} << 20;

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "[" + text + "]";
}

/// Two bytes each, at any alignment.
template <class ToFloat>
void convert(const std::byte* source, std::span<float> out, ToFloat to_float_value) {
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, source + i * sizeof(bits), sizeof(bits));
    out[i] = to_float_value(bits);
  }
}

/// A shard is a file of this folder: no way out of it.
void check_plain(const std::string& name, const std::filesystem::path& index_path) {
  const bool is_plain = !name.empty() && name != "." && name != ".." &&
                        name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
  if (is_plain) return;
  throw InputError({.where = index_path.string() + ": weight_map",
                    .what = "shard is not a plain file name",
                    .got = name,
                    .expected = "a file in the model folder"});
}

std::set<std::string> file_names(const std::filesystem::path& folder) {
  if (std::filesystem::exists(folder / kSingleFile)) return {std::string(kSingleFile)};
  const std::filesystem::path index_path = folder / kIndexFile;
  if (!std::filesystem::exists(index_path)) {
    throw InputError({.where = folder.string(),
                      .what = "has no weights",
                      .expected = std::string(kSingleFile) + " or " + std::string(kIndexFile)});
  }
  const Json root = read_json_file(index_path, kMaxIndexBytes);
  const JsonFields index(root, index_path.string());
  const Json* map = index.find("weight_map");
  std::set<std::string> names;
  if (map == nullptr) {
    throw InputError({.where = index_path.string() + ": weight_map",
                      .what = "missing",
                      .expected = "an object of tensor and file names"});
  }
  const JsonFields fields(*map, index_path.string() + ": weight_map");
  for (const auto& [tensor, file] : map->items()) names.insert(fields.string(tensor));
  for (const std::string& name : names) check_plain(name, index_path);
  return names;
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

  void read_rows(const WeightName& weight,
                 int64_t first,
                 int64_t count,
                 std::span<float> out) const override {
    const Located& tensor = find(weight);
    const int64_t columns = weight.shape.back();
    const auto begin = static_cast<size_t>(first * columns);
    const auto values = static_cast<size_t>(count * columns);
    ensure(out.size() == values, "row buffer of the wrong size");
    const std::byte* bytes = tensor.file->bytes(*tensor.entry).data();
    const DType type = *parse_dtype(tensor.entry->dtype);
    if (type == DType::f32) {
      std::memcpy(out.data(), bytes + begin * sizeof(float), values * sizeof(float));
      return;
    }
    const std::byte* source = bytes + begin * sizeof(uint16_t);
    if (type == DType::bf16) {
      convert(source, out, [](uint16_t bits) { return to_float(BFloat16{bits}); });
    } else {
      convert(source, out, half_to_float);
    }
  }

  void release(const WeightName& weight) const override {
    const Located& tensor = find(weight);
    tensor.file->release(*tensor.entry);
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
  std::vector<std::filesystem::path> paths;
  for (const std::string& name : file_names(folder)) paths.push_back(folder / name);
  return std::make_unique<Checkpoint>(folder, paths, weight_names(spec));
}

std::unique_ptr<WeightSource> open_weight_file(const std::filesystem::path& file,
                                               std::span<const WeightName> weights) {
  return std::make_unique<Checkpoint>(file, std::vector{file}, weights);
}

}  // namespace dms
