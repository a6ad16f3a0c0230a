#include "train/config/differences.h"

#include <map>
#include <set>

#include "dms/error.h"
#include "yaml/tree.h"

namespace dms::train {
namespace {

using Values = std::map<std::string, std::string>;

void gather(const yaml::Node& node, const std::string& name, Values& values) {
  if (node.children.empty()) {
    if (!node.is_null()) values[name] = node.is_scalar() ? node.text : "empty";
    return;
  }
  for (size_t i = 0; i < node.children.size(); ++i) {
    const yaml::Node& child = node.children[i];
    gather(child, name + "." + (node.is_map() ? child.key : std::to_string(i)), values);
  }
}

Values values_of(const std::string& yaml) {
  Values values;
  try {
    const yaml::Node root = yaml::parse(yaml, "configuration");
    for (const char* section : {"objective", "model", "dms", "data"}) {
      if (const yaml::Node* const node = root.find(section)) gather(*node, section, values);
    }
  } catch (const InputError&) {
    return {};
  }
  values.erase("data.cache_dir");
  return values;
}

std::string value_in(const Values& values, const std::string& name) {
  const auto it = values.find(name);
  return it == values.end() ? "not set" : it->second;
}

}  // namespace

std::vector<std::string> config_differences(const std::string& before, const std::string& now) {
  const Values old_values = values_of(before);
  const Values new_values = values_of(now);
  std::set<std::string> names;
  for (const Values& values : {old_values, new_values}) {
    for (const auto& [name, value] : values) names.insert(name);
  }
  std::vector<std::string> differences;
  for (const std::string& name : names) {
    const std::string old_value = value_in(old_values, name);
    const std::string new_value = value_in(new_values, name);
    if (old_value != new_value) {
      differences.push_back(name + ": was " + old_value + ", is " + new_value);
    }
  }
  return differences;
}

std::vector<std::string> notes_since_checkpoint(const std::string& before, const std::string& now) {
  std::vector<std::string> notes = config_differences(before, now);
  for (std::string& note : notes) note.insert(0, "since the checkpoint: ");
  return notes;
}

}  // namespace dms::train
