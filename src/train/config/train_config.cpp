#include "train/config/train_config.h"

#include "base/input_file.h"
#include "dms/error.h"
#include "train/config/overrides.h"
#include "train/config/sections.h"
#include "yaml/tree.h"

namespace dms::train {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 20;

/// NVIDIA's trainer takes the keys of its `dms` section with and without the prefix dms_.
void strip_prefix(yaml::Node& root) {
  constexpr std::string_view prefix = "dms_";
  yaml::Node* const section = root.find("dms");
  if (section == nullptr || !section->is_map()) return;
  for (yaml::Node& value : section->children) {
    if (!value.key.starts_with(prefix)) continue;
    const std::string name = value.key.substr(prefix.size());
    if (section->find(name) != nullptr) {
      throw InputError({.where = value.where + ": dms." + value.key,
                        .what = "beside dms." + name + ", which means the same"});
    }
    value.key = name;
  }
}

TrainConfig read_sections(const yaml::Node& root, const std::string& where) {
  TrainConfig config;
  yaml::Fields fields(&root, "", where);
  fields.choice("objective", config.objective, {{"dms", Objective::dms}, {"lm", Objective::lm}});
  const yaml::Fields model = fields.section("model");
  const yaml::Fields dms = fields.section("dms");
  const yaml::Fields data = fields.section("data");
  const yaml::Fields trainer = fields.section("hf_trainer");
  fields.finish();
  config::read_model_section(model, config);
  config::read_dms_section(dms, config);
  config::read_data_section(data, config);
  config::read_trainer_section(trainer, config);
  config::check_sections(fields, config);
  return config;
}

}  // namespace

TrainConfig parse_train_config(const std::string& yaml,
                               const std::string& where,
                               const std::vector<std::string>& overrides) {
  yaml::Node root = yaml::parse(yaml, where);
  config::apply_overrides(overrides, root);
  const std::string source = overrides.empty() ? yaml : yaml::write(root);
  strip_prefix(root);
  TrainConfig config = read_sections(root, where);
  config.source = source;
  return config;
}

TrainConfig load_train_config(const std::filesystem::path& file,
                              const std::vector<std::string>& overrides) {
  return parse_train_config(read_text_file(file, kMaxBytes), file.string(), overrides);
}

}  // namespace dms::train
