// A folder's safetensors as a WeightSource: single file, or shards listed by an index.

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/dtype.h"
#include "dms/error.h"
#include "model/spec/load.h"
#include "model/spec/tensor_files.h"
#include "model/spec/weight_files.h"

namespace dms {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "[" + text + "]";
}

InputError missing(const std::string& where, const WeightName& weight) {
  const bool is_head = weight.role == WeightRole::head;
  return InputError(
      {.where = where,
       .what = "missing",
       .expected = "shape " + shape_text(weight.shape),
       .hint = is_head ? "if the head is the embedding, set tie_word_embeddings to true in "
                         "config.json"
                       : ""});
}

class Checkpoint final : public WeightSource {
 public:
  /// `where`: the folder or file that a missing tensor is missing from.
  Checkpoint(const std::filesystem::path& where,
             const std::vector<std::filesystem::path>& paths,
             std::span<const WeightName> weights)
      : where_(where), files_(paths) {
    for (const WeightName& weight : weights) {
      check(weight);
      if (is_adapter(weight.role)) check_finite(weight);
    }
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
    const int64_t columns = weight.shape.back();
    ensure(std::ssize(out) == count * columns, "row buffer of the wrong size");
    read_values(find(weight), first * columns, out);
  }

 private:
  const LocatedTensor& find(const WeightName& weight) const {
    if (const LocatedTensor* tensor = files_.find(weight.name)) return *tensor;
    throw missing(where_.string() + ": tensor " + weight.name, weight);
  }

  void check(const WeightName& weight) const {
    const LocatedTensor& tensor = find(weight);
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

  /// A comparison with NaN is false: such a weight would mean "keep everything" without a word.
  void check_finite(const WeightName& weight) const {
    std::vector<float> values(static_cast<size_t>(element_count(weight)));
    const LocatedTensor& tensor = find(weight);
    read_values(tensor, 0, values);
    const auto bad = std::ranges::find_if_not(values, [](float x) { return std::isfinite(x); });
    if (bad == values.end()) return;
    throw InputError({.where = tensor.file->path().string() + ": tensor " + weight.name,
                      .what = "is not finite at place " + std::to_string(bad - values.begin()),
                      .got = std::to_string(*bad),
                      .expected = "finite numbers, since they decide what is evicted"});
  }

  std::filesystem::path where_;
  TensorFiles files_;
};

}  // namespace

std::unique_ptr<WeightSource> open_checkpoint(const std::filesystem::path& folder,
                                              const ModelSpec& spec) {
  const std::vector<WeightName> weights = weight_names(spec);
  const std::optional<WeightFiles> files = find_weight_files(folder);
  if (!files) {
    throw unusable_folder(
        folder, "has no weights", "model.safetensors or model.safetensors.index.json");
  }
  if (!files->index) return open_weight_file(files->paths.front(), weights);
  for (const WeightName& weight : weights) {
    if (!files->index->names(weight.name)) throw missing(files->index->where(weight.name), weight);
  }
  auto checkpoint = std::make_unique<Checkpoint>(folder, files->paths, weights);
  checkpoint->check_places(*files->index, weights);
  return checkpoint;
}

std::unique_ptr<WeightSource> open_weight_file(const std::filesystem::path& file,
                                               std::span<const WeightName> weights) {
  return std::make_unique<Checkpoint>(file, std::vector{file}, weights);
}

}  // namespace dms
