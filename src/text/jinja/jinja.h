#pragma once
// Jinja as published chat templates use it, with the meaning it has in jinja2 as transformers sets
// it up; and its expressions by themselves. Both come from strangers: what they cost is counted,
// and bounded. The one header of this folder that others include.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace dms::text::jinja {

/// About a second, and what a second can fill. Rendering a long conversation stays far below.
struct Limits {
  int64_t steps = 10'000'000;         // expressions evaluated, elements walked, text looked through
  int64_t bytes = int64_t{64} << 20;  // texts, lists and variables made, all together
  int64_t depth = 400;                // nested evaluations and macro calls
};

/// Immutable, thread-safe.
class Template {
 public:
  /// `where` names the template in errors, which add the line. Throws InputError on a malformed
  /// template and on statements outside of the supported subset.
  Template(std::string_view source, std::string where);

  /// Renders with the members of `variables`, a JSON object, whose size adds to the limits. Throws
  /// InputError when the template refuses them (with its own message), uses a filter, test or
  /// method outside of the supported subset, or exceeds the limits.
  std::string render(const nlohmann::ordered_json& variables, const Limits& limits) const;

 private:
  struct Tree;
  std::string where_;
  std::shared_ptr<const Tree> tree_;
};

/// A condition on a record. Names are the record's fields, `record` the whole where it has no field
/// of that name. Beside what templates know, `null` is none, and there are the functions len(x),
/// any(list), all(list) and has(field); other functions there are not. A field that is not there is
/// an error, but in has(), which is false for it and for null. Immutable, thread-safe.
class Expression {
 public:
  /// `where` names the expression in errors, which add the column. Throws InputError on a malformed
  /// one.
  Expression(std::string_view source, const std::string& where);

  /// Whether it is true, as Python's bool() has it, of `record`, a JSON object; the size of what it
  /// names there adds to the limits. Throws InputError naming `where` and the column where it
  /// cannot tell.
  bool holds(const nlohmann::json& record,
             const std::string& where,
             const Limits& limits = {}) const;

 private:
  struct Tree;
  std::shared_ptr<const Tree> tree_;
};

}  // namespace dms::text::jinja
