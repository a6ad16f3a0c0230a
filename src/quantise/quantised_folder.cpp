#include "quantise/quantised_folder.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "base/file_status.h"
#include "base/json.h"
#include "base/output_file.h"
#include "base/output_folder.h"
#include "base/replaceable.h"
#include "dms/error.h"
#include "kernels/quantise.h"
#include "model/spec/companion_files.h"
#include "model/spec/load.h"
#include "model/spec/safetensors_writer.h"
#include "model/spec/weight_pieces.h"
#include "quantise/codes.h"

namespace dms::quantise {
namespace {

namespace fs = std::filesystem;
using kernels::kQuantGroup;

constexpr std::string_view kConfigFile = "config.json";
constexpr std::string_view kWeightsFile = "model.safetensors";
constexpr std::array<std::string_view, 2> kMetadataFiles{"dms_metadata.json", "training_log.json"};
constexpr std::string_view kWeight = "weight";

bool is_ours(std::string_view name) {
  return name == kConfigFile || name == kWeightsFile || is_companion(name) ||
         std::ranges::find(kMetadataFiles, name) != kMetadataFiles.end();
}

enum class Storage { codes, half, plain };  // "plain": float32

/// Rows of q decide eviction in `neuron` models: what decides stays as it is.
bool decides(const ModelSpec& spec, const WeightName& weight) {
  const bool is_neuron = spec.dms && spec.dms->source == DmsSource::neuron;
  return is_adapter(weight.role) ||
         (is_neuron && (weight.role == WeightRole::q || weight.role == WeightRole::qkv));
}

Storage storage_of(const ModelSpec& spec, const WeightName& weight) {
  if (weight.shape.size() == 1 || decides(spec, weight)) return Storage::plain;
  return weight.layer < 0 ? Storage::half : Storage::codes;
}

std::string part(const WeightName& weight, const char* suffix) {
  return weight.name.substr(0, weight.name.size() - kWeight.size()) + suffix;
}

Json quantisation_config(int64_t bits, const ModelSpec& spec) {
  const Json weights{{"num_bits", bits},
                     {"type", "int"},
                     {"symmetric", true},
                     {"strategy", "group"},
                     {"group_size", kQuantGroup},
                     {"dynamic", false}};
  Json ignored = Json::array({"lm_head"});
  for (const WeightName& weight : weight_names(spec)) {
    if (weight.shape.size() == 2 && decides(spec, weight))
      ignored.push_back(weight.name.substr(0, weight.name.size() - kWeight.size() - 1));
  }
  return {{"quant_method", "compressed-tensors"},
          {"format", "pack-quantized"},
          {"quantization_status", "compressed"},
          {"config_groups", {{"group_0", {{"targets", {"Linear"}}, {"weights", weights}}}}},
          {"ignore", ignored}};
}

void write_settings(const fs::path& model,
                    const fs::path& folder,
                    const ModelSpec& spec,
                    kernels::WeightFormat format) {
  Json config = read_json_file(model / kConfigFile);
  config["quantization_config"] = quantisation_config(kernels::weight_bits(format), spec);
  if (!spec.tied_head && config.contains("tie_word_embeddings")) {
    config["tie_word_embeddings"] = false;  // also where the model says otherwise and has its own
  }
  write_text_file(folder / kConfigFile, json_file_text(config));
  const fs::path metadata = spec.dms ? fs::path(spec.dms->origin) : fs::path();
  if (std::ranges::find(kMetadataFiles, metadata.filename().string()) != kMetadataFiles.end()) {
    write_text_file(folder / metadata.filename(), json_file_text(read_json_file(metadata)));
  }
  copy_companions(model, folder);
}

/// One safetensors file: widest types first, so that each tensor is aligned to its elements.
class Writer {
 public:
  Writer(const fs::path& file,
         const ModelSpec& spec,
         const WeightSource& source,
         const FolderOptions& options)
      : spec_(spec),
        names_(weight_names(spec)),
        source_(source),
        options_(options),
        bits_(kernels::weight_bits(options.format)),
        writer_(file, declarations()) {}

  void write() {
    for (const WeightName& weight : names_) {
      if (storage_of(spec_, weight) != Storage::codes) continue;
      writer_.write(std::as_bytes(std::span(weight.shape)));
    }
    const auto total = std::ssize(names_);
    for (int64_t i = 0; i < total; ++i) {
      const WeightName& weight = names_[static_cast<size_t>(i)];
      const Storage storage = storage_of(spec_, weight);
      if (storage == Storage::codes) write_codes(weight);
      if (storage == Storage::plain) copy(weight);
      if (options_.progress) options_.progress(i + 1, total);
    }
    for (const WeightName& weight : names_) {
      if (storage_of(spec_, weight) == Storage::half) copy(weight);
    }
    for (const std::vector<float>& scales : scales_) writer_.write_floats(scales);
    writer_.close();
  }

 private:
  std::vector<TensorDeclaration> declarations() const {
    std::vector<TensorDeclaration> wide;
    std::vector<TensorDeclaration> middle;
    std::vector<TensorDeclaration> halves;
    std::vector<TensorDeclaration> scales;
    for (const WeightName& weight : names_) {
      const Storage storage = storage_of(spec_, weight);
      if (storage == Storage::codes) {
        const int64_t rows = weight.shape[0];
        const int64_t columns = weight.shape[1];
        wide.push_back({.name = part(weight, "weight_shape"), .dtype = "I64", .shape = {2}});
        middle.push_back({.name = part(weight, "weight_packed"),
                          .dtype = "I32",
                          .shape = {rows, columns * bits_ / 32}});
        scales.push_back({.name = part(weight, "weight_scale"),
                          .dtype = "F16",
                          .shape = {rows, columns / kQuantGroup}});
      } else if (storage == Storage::half) {
        halves.push_back({.name = weight.name, .dtype = "BF16", .shape = weight.shape});
      } else {
        middle.push_back({.name = weight.name, .dtype = "F32", .shape = weight.shape});
      }
    }
    for (const auto* more : {&middle, &halves, &scales}) {
      wide.insert(wide.end(), more->begin(), more->end());
    }
    return wide;
  }

  void copy(const WeightName& weight) {
    for_each_piece(
        weight, source_, [&](std::span<const float> rows) { writer_.write_floats(rows); });
  }

  void write_codes(const WeightName& weight) {
    const std::shared_ptr<const FeedbackRounding> rounding =
        options_.rounding ? options_.rounding(weight) : nullptr;
    std::vector<float>& scales = scales_.emplace_back();
    for_each_piece(weight, source_, [&](std::span<const float> rows) {
      require_quantisable(weight, rows);
      const kernels::QuantisedRowsBuffer codes =
          quantise(options_.format, weight.shape[1], rows, rounding.get());
      writer_.write(pack_codes(codes.codes, bits_));
      scales.insert(scales.end(), codes.scales.begin(), codes.scales.end());
    });
  }

  const ModelSpec& spec_;
  std::vector<WeightName> names_;
  const WeightSource& source_;
  const FolderOptions& options_;
  int64_t bits_;
  std::vector<std::vector<float>> scales_;  // of each quantised weight, in order
  SafetensorsWriter writer_;
};

void check_columns(const ModelSpec& spec) {
  for (const WeightName& weight : weight_names(spec)) {
    if (storage_of(spec, weight) != Storage::codes || weight.shape[1] % kQuantGroup == 0) continue;
    throw InputError({.where = "tensor " + weight.name,
                      .what = "cannot be cut into groups of inputs",
                      .got = std::to_string(weight.shape[1]) + " columns",
                      .expected = "a multiple of " + std::to_string(kQuantGroup),
                      .hint = "--weights int4 or int8 at load takes any shape"});
  }
}

}  // namespace

void check_quantised_folder(const fs::path& out, const ModelSpec& spec) {
  const fs::path target = resolve_output(out);
  check_replaceable(target, kConfigFile, "a quantised model's folder", is_ours);
  if (path_exists(target / kConfigFile) &&
      !load_spec(target, MetadataScope::folder_only).quantisation) {
    throw InputError({.where = out.string(),
                      .what = "holds a model that is not quantised",
                      .expected = "a new or empty folder, or a quantised model's to replace",
                      .hint = "name another folder, or remove this one"});
  }
  check_columns(spec);
}

void write_quantised_folder(const fs::path& model,
                            const fs::path& out,
                            const ModelSpec& spec,
                            const WeightSource& source,
                            const FolderOptions& options) {
  check_quantised_folder(out, spec);
  const fs::path target = resolve_output(out);
  prepare_parent(target);
  OutputFolder folder(target);
  write_settings(model, folder.path(), spec, options.format);
  Writer(folder.path() / kWeightsFile, spec, source, options).write();
  open_checkpoint(folder.path(), load_spec(folder.path(), MetadataScope::folder_only));
  folder.commit();
}

}  // namespace dms::quantise
