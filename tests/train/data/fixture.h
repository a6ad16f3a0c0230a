#pragma once
// Model folders, datasets and configs for the tests of training data.

#include <filesystem>
#include <string>
#include <vector>

#include "base/input_file.h"
#include "base/json.h"
#include "support/temp_folder.h"
#include "text/tokenizer.h"
#include "train/config/train_config.h"
#include "train/data/batches.h"

namespace dms::train::fixture {

using dms::testing_support::TempFolder;

inline std::filesystem::path demo_model() {
  return std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo";
}

inline text::Tokenizer demo_tokenizer() {
  return text::Tokenizer::load(demo_model() / "tokenizer.json");
}

/// A model folder without weights: the demo's configuration with this chat template.
inline std::filesystem::path model_with_template(const TempFolder& folder,
                                                 const std::string& chat_template) {
  const auto copy = [&](const char* name) {
    folder.write(std::filesystem::path("model") / name,
                 read_text_file(demo_model() / name, int64_t{1} << 24));
  };
  copy("config.json");
  copy("tokenizer.json");
  const Json config = {{"bos_token", "<|begin_of_text|>"},
                       {"eos_token", "<|end_of_text|>"},
                       {"chat_template", chat_template}};
  return folder.write("model/tokenizer_config.json", config.dump()).parent_path();
}

/// Llama 3's form: every turn has a header and an end, no turn changes an earlier one.
inline constexpr const char* kPlainTemplate =
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}";

/// One dataset, alone in the blend, cached under `folder`.
inline TrainConfig config_of(const TempFolder& folder, DatasetSection dataset) {
  TrainConfig config;
  config.model.name = demo_model();
  config.trainer.output_dir = folder.path() / "out";
  config.trainer.threads = 2;
  config.data.max_length = 16;
  config.data.blend = {{.dataset = dataset.name, .weight = 1.0}};
  config.data.datasets[dataset.name] = std::move(dataset);
  return config;
}

inline DatasetSection text_dataset(std::string name, std::filesystem::path path) {
  DatasetSection dataset;
  dataset.name = std::move(name);
  dataset.paths = {std::move(path)};
  return dataset;
}

inline DatasetSection generated(std::string name, const std::string& settings) {
  DatasetSection dataset;
  dataset.name = std::move(name);
  dataset.generator = Json::parse(settings);
  return dataset;
}

/// `count` records {"text": …, "n": i} of different lengths.
inline std::string numbered_texts(int64_t count) {
  std::string lines;
  for (int64_t i = 0; i < count; ++i) {
    std::string text = "Record " + std::to_string(i) + " says:";
    for (int64_t word = 0; word < i * 7 % 23; ++word) text += " word" + std::to_string(word * i);
    lines += Json{{"text", text}, {"n", i}}.dump() + "\n";
  }
  return lines;
}

/// Ids and loss flags of the first samples.
inline std::vector<Sample> first_samples(const PreparedData& data, int64_t count) {
  std::vector<Sample> samples;
  for (int64_t i = 0; i < count; ++i) samples.push_back(data.sample(i));
  return samples;
}

inline bool same_samples(const PreparedData& a, const PreparedData& b, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const Sample left = a.sample(i);
    const Sample right = b.sample(i);
    if (left.ids != right.ids || left.loss != right.loss) return false;
  }
  return true;
}

}  // namespace dms::train::fixture
