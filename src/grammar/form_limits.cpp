#include "grammar/form_limits.h"

#include <fmt/format.h>

#include "dms/error.h"

namespace dms::grammar {

void check_bytes(size_t bytes, size_t most, const std::string& field, const char* what) {
  if (bytes <= most) return;
  throw InputError({.field = field,
                    .what = what,
                    .got = fmt::format("{} bytes", bytes),
                    .expected = fmt::format("at most {}", most)});
}

}  // namespace dms::grammar
