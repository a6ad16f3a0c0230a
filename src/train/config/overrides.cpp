#include "train/config/overrides.h"

#include <algorithm>

#include "dms/error.h"

namespace dms::train::config {
namespace {

constexpr int kMaxKeys = 8;  // in a path; data.datasets.NAME.generator.key has five

void set_where(yaml::Node& node, const std::string& where) {
  node.where = where;
  for (yaml::Node& child : node.children) set_where(child, where);
}

[[noreturn]] void refuse(const std::string& override_text, const std::string& what) {
  throw InputError({.where = "--set",
                    .what = what,
                    .got = "'" + override_text + "'",
                    .expected = "SECTION.KEY=VALUE, as in data.max_length=512"});
}

/// The value of `key` in `parent`, which becomes a mapping where it was empty.
yaml::Node& step_into(yaml::Node& parent, const std::string& key, const std::string& where) {
  if (parent.is_null()) parent.kind = yaml::Node::Kind::map;
  if (!parent.is_map()) {
    throw InputError({.where = where,
                      .what = "the path leads through a value",
                      .got = describe(parent),
                      .expected = "a mapping"});
  }
  if (yaml::Node* const found = parent.find(key)) return *found;
  parent.children.push_back({.key = key, .where = where});
  return parent.children.back();
}

void apply(const std::string& text, yaml::Node& root) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) refuse(text, "no '='");
  const std::string path = text.substr(0, equals);
  const std::string where = "--set " + path;
  yaml::Node* target = &root;
  int keys = 0;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    if (end == begin) refuse(text, "an empty key");
    if (++keys > kMaxKeys) refuse(text, "too many keys");
    target = &step_into(*target, path.substr(begin, end - begin), where);
    begin = end + 1;
  }
  yaml::Node value = yaml::parse(text.substr(equals + 1), where);
  value.key = target->key;
  set_where(value, where);
  *target = std::move(value);
}

}  // namespace

void apply_overrides(const std::vector<std::string>& overrides, yaml::Node& root) {
  for (const std::string& text : overrides) apply(text, root);
}

}  // namespace dms::train::config
