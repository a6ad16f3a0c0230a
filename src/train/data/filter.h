#pragma once
// Which records of a dataset are kept: an expression over their fields, with Python's meaning.
//
//   quality > 0.8 and any(correct)          source in ["wiki", "books"]
//   len(text) >= 200 and not meta.is_spam   has(score) and 0.5 <= score < 0.9
//
// Literals: numbers, "text" or 'text', true, false, null, lists. Fields: name, name.inner, name[0],
// name["odd key"]. Operators: == != < <= > >= in, not in, and, or, not. Functions: len, any, all,
// has (the field is there and not null). A field that is missing elsewhere is an error, so that a
// misspelt name cannot drop or keep everything in silence.

#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"

namespace dms::train::data {

struct FilterNode;

/// Thread-safe.
class Filter {
 public:
  /// `where` names the setting in errors. Throws InputError naming the column of what is wrong.
  Filter(std::string_view expression, const std::string& where);
  ~Filter();
  Filter(Filter&&) noexcept;

  /// `where` names the record in errors. Throws InputError where a field is missing or of a type
  /// that the expression cannot use.
  bool keeps(const Json& record, const std::string& where) const;

 private:
  std::unique_ptr<const FilterNode> root_;
};

}  // namespace dms::train::data
