#include "yaml/tree.h"

#include <algorithm>
#include <utility>

#include <yaml-cpp/emitter.h>

namespace dms::yaml {
namespace {

void emit(const Node& node, YAML::Emitter& out) {
  switch (node.kind) {
    case Node::Kind::null:
      out << YAML::Null;
      break;
    case Node::Kind::scalar:
      if (node.is_quoted) out << YAML::DoubleQuoted;
      out << node.text;
      break;
    case Node::Kind::sequence:
      out << YAML::BeginSeq;
      for (const Node& item : node.children) emit(item, out);
      out << YAML::EndSeq;
      break;
    case Node::Kind::map:
      out << YAML::BeginMap;
      for (const Node& value : node.children) {
        out << YAML::Key << value.key << YAML::Value;
        emit(value, out);
      }
      out << YAML::EndMap;
      break;
  }
}

}  // namespace

const Node* Node::find(std::string_view name) const {
  if (!is_map()) return nullptr;
  const auto found = std::ranges::find(children, name, &Node::key);
  return found == children.end() ? nullptr : &*found;
}

Node* Node::find(std::string_view name) {
  return const_cast<Node*>(std::as_const(*this).find(name));
}

std::string write(const Node& node) {
  YAML::Emitter out;
  emit(node, out);
  return std::string(out.c_str()) + "\n";
}

std::string describe(const Node& node) {
  constexpr size_t longest = 60;
  switch (node.kind) {
    case Node::Kind::null:
      return "null";
    case Node::Kind::sequence:
      return "a list";
    case Node::Kind::map:
      return "a mapping";
    case Node::Kind::scalar:
      break;
  }
  const std::string text =
      node.text.size() > longest ? node.text.substr(0, longest - 3) + "..." : node.text;
  return node.is_quoted ? "\"" + text + "\"" : text;
}

}  // namespace dms::yaml
