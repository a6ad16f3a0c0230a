#include "grammar/schema_refusal.h"

#include <utility>

#include "dms/error.h"

namespace dms::grammar {

SchemaRefusal::SchemaRefusal(bool refuses_unenforced, std::string where)
    : refuses_unenforced_(refuses_unenforced), where_(std::move(where)) {}

void SchemaRefusal::refuse(const std::string& path,
                           const std::string& what,
                           const std::string& hint) const {
  throw InputError(
      {.field = where_, .what = path.empty() ? what : path + ": " + what, .hint = hint});
}

void SchemaRefusal::refuse_unenforced(const std::string& path, const std::string& hint) const {
  if (refuses_unenforced_) refuse(path, "an answer would not be held to it", hint);
}

}  // namespace dms::grammar
