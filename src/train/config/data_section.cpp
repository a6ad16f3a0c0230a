#include <algorithm>

#include "train/config/sections.h"

namespace dms::train::config {
namespace {

constexpr int64_t kMaxSamples = int64_t{1} << 40;
constexpr int64_t kMaxLength = int64_t{1} << 24;
constexpr int64_t kMaxVocab = int64_t{1} << 24;

bool is_dataset_name(const std::string& name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

std::map<std::string, DatasetSection> read_datasets(yaml::Fields& data) {
  std::map<std::string, DatasetSection> datasets;
  yaml::Fields declared = data.section("datasets");
  const yaml::Node* const node = data.find("datasets");
  if (node == nullptr) return datasets;
  for (const yaml::Node& entry : node->children) {
    if (!is_dataset_name(entry.key)) {
      declared.refuse(entry.key, "bad name", "letters, digits, '_' and '-'");
    }
    datasets.emplace(entry.key, read_dataset(declared.section(entry.key), entry.key));
  }
  return datasets;
}

}  // namespace

void read_data_section(yaml::Fields fields, TrainConfig& config) {
  DataSection& data = config.data;
  data.datasets = read_datasets(fields);
  fields.integer("train_samples", data.train_samples, {0, kMaxSamples});
  fields.integer("max_length", data.max_length, {2, kMaxLength});
  fields.boolean("concat_always_start_new", data.concat_always_start_new);
  fields.integer("process_vocab_using_chunk", data.process_vocab_using_chunk, {1, kMaxVocab});
  fields.object("tokenizer_kwargs", data.tokenizer_kwargs);
  fields.choice("loss_on", data.loss_on, {{"all", LossOn::all}, {"assistant", LossOn::assistant}});
  fields.boolean("add_eos", data.add_eos);
  fields.path("cache_dir", data.cache_dir);
  static_cast<void>(fields.has("blend"));  // known, but read after misspelt keys were found
  fields.finish();
  data.blend = read_blend(fields, data.datasets);
}

}  // namespace dms::train::config
