#include "model/spec/weight_files.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "base/file_status.h"

namespace dms {
namespace {

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";
constexpr size_t kShownFiles = 3;

struct OtherFormat {
  std::string_view begin;
  std::string_view end;
  std::string_view hint;
};

constexpr std::string_view kConvert =
    "save the model with transformers' save_pretrained(), which writes safetensors";

// The first that fits a file's name.
constexpr std::array kOtherFormats{
    OtherFormat{"model-", ".safetensors", "the shards' model.safetensors.index.json is missing"},
    OtherFormat{"adapter.", ".safetensors", "name the base model, and this folder as --adapter"},
    OtherFormat{"adapter_model.", "", "merge the LoRA into its base model first"},
    OtherFormat{"consolidated", "", "take the folder in Hugging Face's layout instead"},
    OtherFormat{"", ".safetensors", "rename the file to model.safetensors if it is the model"},
    OtherFormat{"", ".gguf", "name the .gguf file itself as the model"},
    OtherFormat{"", ".bin", kConvert},
    OtherFormat{"", ".pt", kConvert},
    OtherFormat{"", ".pth", kConvert},
    OtherFormat{"", ".h5", kConvert},
    OtherFormat{"", ".msgpack", kConvert},
};

const OtherFormat* other_format(std::string_view name) {
  const auto* it = std::ranges::find_if(kOtherFormats, [&](const OtherFormat& format) {
    return name.starts_with(format.begin) && name.ends_with(format.end);
  });
  return it == kOtherFormats.end() ? nullptr : it;
}

}  // namespace

std::optional<WeightFiles> find_weight_files(const std::filesystem::path& folder) {
  const std::filesystem::path single = folder / kSingleFile;
  if (path_exists(single)) return WeightFiles{.paths = {single}, .index = std::nullopt};
  const std::filesystem::path path = folder / kIndexFile;
  if (!path_exists(path)) return std::nullopt;
  ShardIndex index(path);
  std::vector<std::filesystem::path> paths = index.files();
  return WeightFiles{.paths = std::move(paths), .index = std::move(index)};
}

InputError unusable_folder(const std::filesystem::path& folder,
                           const std::string& what,
                           const std::string& expected) {
  std::string found;
  size_t count = 0;
  std::string_view hint;
  for (const std::filesystem::path& entry : entries_of(folder)) {
    const std::string name = entry.filename().string();
    const OtherFormat* format = other_format(name);
    if (format == nullptr) continue;
    if (hint.empty()) hint = format->hint;
    if (++count <= kShownFiles) found += (found.empty() ? "" : ", ") + name.substr(0, 60);
  }
  if (count > kShownFiles) found += " and " + std::to_string(count - kShownFiles) + " more";
  return InputError({.where = folder.string(),
                     .what = what,
                     .got = found,
                     .expected = expected,
                     .hint = std::string(hint)});
}

}  // namespace dms
