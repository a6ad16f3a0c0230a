#include "train/config/yaml_tree.h"

#include <algorithm>
#include <utility>

#include <yaml-cpp/emitter.h>

namespace dms::train::config {
namespace {

void emit(const YamlNode& node, YAML::Emitter& out) {
  switch (node.kind) {
    case YamlNode::Kind::null:
      out << YAML::Null;
      break;
    case YamlNode::Kind::scalar:
      if (node.is_quoted) out << YAML::DoubleQuoted;
      out << node.text;
      break;
    case YamlNode::Kind::sequence:
      out << YAML::BeginSeq;
      for (const YamlNode& item : node.children) emit(item, out);
      out << YAML::EndSeq;
      break;
    case YamlNode::Kind::map:
      out << YAML::BeginMap;
      for (const YamlNode& value : node.children) {
        out << YAML::Key << value.key << YAML::Value;
        emit(value, out);
      }
      out << YAML::EndMap;
      break;
  }
}

}  // namespace

const YamlNode* YamlNode::find(std::string_view name) const {
  if (!is_map()) return nullptr;
  const auto found = std::ranges::find(children, name, &YamlNode::key);
  return found == children.end() ? nullptr : &*found;
}

YamlNode* YamlNode::find(std::string_view name) {
  return const_cast<YamlNode*>(std::as_const(*this).find(name));
}

std::string write_yaml(const YamlNode& node) {
  YAML::Emitter out;
  emit(node, out);
  return std::string(out.c_str()) + "\n";
}

std::string describe(const YamlNode& node) {
  constexpr size_t longest = 60;
  switch (node.kind) {
    case YamlNode::Kind::null:
      return "null";
    case YamlNode::Kind::sequence:
      return "a list";
    case YamlNode::Kind::map:
      return "a mapping";
    case YamlNode::Kind::scalar:
      break;
  }
  const std::string text =
      node.text.size() > longest ? node.text.substr(0, longest - 3) + "..." : node.text;
  return node.is_quoted ? "\"" + text + "\"" : text;
}

}  // namespace dms::train::config
