// A folder's safetensors as a WeightSource: single file, or shards listed by an index.

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/dtype.h"
#include "dms/error.h"
#include "model/spec/load.h"
#include "model/spec/quantised_weight.h"
#include "model/spec/shape_text.h"
#include "model/spec/tensor_files.h"
#include "model/spec/weight_files.h"

namespace dms {
namespace {

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
             std::span<const WeightName> weights,
             const std::optional<Quantisation>& quantisation)
      : where_(where), files_(paths) {
    for (const WeightName& weight : weights) {
      if (quantisation && add_quantised(weight, *quantisation)) continue;
      check(weight);
      if (is_adapter(weight.role)) check_finite(weight);
    }
  }

  /// Each weight must lie where the index says: a loader that believes it must see the same ones.
  void check_places(const ShardIndex& index, std::span<const WeightName> weights) const {
    for (const WeightName& weight : weights) {
      if (code_groups(weight)) continue;
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
    if (code_groups(weight)) {
      read_decoded_rows(*this, weight, first, count, out);
    } else {
      read_values(find(weight), first * columns, out);
    }
  }

  std::optional<CodeGroups> code_groups(const WeightName& weight) const override {
    const auto it = quantised_.find(weight.name);
    return it == quantised_.end() ? std::nullopt : std::optional(it->second->groups());
  }

  void read_codes(const WeightName& weight,
                  int64_t first,
                  int64_t count,
                  const CodeRows& out) const override {
    quantised_.at(weight.name)->read(first, count, out);
  }

 private:
  bool add_quantised(const WeightName& weight, const Quantisation& how) {
    std::unique_ptr<QuantisedWeight> found = open_quantised(files_, weight, how);
    if (!found) return false;
    quantised_.emplace(weight.name, std::move(found));
    return true;
  }

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
  std::map<std::string, std::unique_ptr<QuantisedWeight>> quantised_;  // by the weight's name
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
  if (!files->index) {
    const std::filesystem::path& file = files->paths.front();
    return std::make_unique<Checkpoint>(file, files->paths, weights, spec.quantisation);
  }
  for (const WeightName& weight : weights) {
    if (spec.quantisation || files->index->names(weight.name)) continue;
    throw missing(files->index->where(weight.name), weight);
  }
  auto checkpoint = std::make_unique<Checkpoint>(folder, files->paths, weights, spec.quantisation);
  checkpoint->check_places(*files->index, weights);
  return checkpoint;
}

std::unique_ptr<WeightSource> open_weight_file(const std::filesystem::path& file,
                                               std::span<const WeightName> weights) {
  return std::make_unique<Checkpoint>(file, std::vector{file}, weights, std::nullopt);
}

}  // namespace dms
