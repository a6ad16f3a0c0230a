#pragma once
// Fields of a record, by the names a dataset's settings give.

#include <string>
#include <vector>

#include "base/json.h"

namespace dms::train::data {

/// "text", "meta.title" (of nested objects), or "generations[correct]": the last element of the
/// list `generations` whose element in the list `correct` is true.
class FieldPath {
 public:
  /// `where` names the setting in errors. Throws InputError on malformed names.
  FieldPath(const std::string& name, const std::string& where);

  /// The field of `record`; `where` names the record in errors. Throws InputError when it is not
  /// there.
  const Json& find(const Json& record, const std::string& where) const;
  /// The same, of a field that must be a string.
  const std::string& find_text(const Json& record, const std::string& where) const;

 private:
  using Keys = std::vector<std::string>;

  std::string name_;
  Keys keys_;
  Keys mask_;  // of a list: which element; empty: the field itself
};

}  // namespace dms::train::data
