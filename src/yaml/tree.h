#pragma once
// A YAML document as a tree that remembers where each value stood. yaml-cpp reads the syntax; what
// is done with the tree needs neither its types nor its exceptions.

#include <string>
#include <string_view>
#include <vector>

namespace dms::yaml {

struct Node {
  enum class Kind { null, scalar, sequence, map };

  Kind kind = Kind::null;
  std::string key = {};             // in a map: what it is the value of
  std::string where = {};           // "train.yaml:12", of the key where there is one
  std::string text = {};            // scalar
  bool is_quoted = false;           // scalar: written in quotes or as a block: a string
  std::vector<Node> children = {};  // sequence: items; map: values, in the file's order

  bool is_null() const { return kind == Kind::null; }
  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_sequence() const { return kind == Kind::sequence; }
  bool is_map() const { return kind == Kind::map; }
  /// The value of `name` in a map; nullptr when there is none.
  const Node* find(std::string_view name) const;
  Node* find(std::string_view name);
};

/// Reads one document; `where` names it in errors. Throws InputError on malformed YAML, on more
/// than one document, repeated keys, keys that are no strings, tags, text that is not UTF-8, and on
/// documents larger or deeper than a configuration can be (aliases count as what they stand for).
Node parse(const std::string& text, const std::string& where);

/// The tree as YAML; parse reads the same tree from it.
std::string write(const Node& node);

/// How a value is named in errors: its text, shortened, "null", "a list" or "a mapping".
std::string describe(const Node& node);

}  // namespace dms::yaml
