#include "cli/output_options.h"

#include <system_error>

#include <fmt/format.h>

#include "dms/error.h"

namespace dms::cli {
namespace {

namespace fs = std::filesystem;

bool are_one_file(const fs::path& a, const fs::path& b) {
  std::error_code ignored;
  if (fs::exists(a, ignored) && !fs::is_regular_file(a, ignored)) return false;
  if (fs::equivalent(a, b, ignored)) return true;  // by another link, too; false where one is new
  return fs::weakly_canonical(fs::absolute(a), ignored) ==
         fs::weakly_canonical(fs::absolute(b), ignored);
}

}  // namespace

void require_distinct(const std::vector<OutputOption>& outputs) {
  for (auto output = outputs.begin(); output != outputs.end(); ++output) {
    for (auto other = outputs.begin(); other != output; ++other) {
      if (output->file.empty() || other->file.empty()) continue;
      if (!are_one_file(output->file, other->file)) continue;
      throw InputError({.where = output->name,
                        .what = fmt::format("is the file of {}", other->name),
                        .got = output->file.string(),
                        .expected = "another file"});
    }
  }
}

}  // namespace dms::cli
