#include "cli/list_option.h"

#include "cli/declare.h"
#include "dms/error.h"

namespace dms::cli {

void add_list(CLI::App& app,
              const std::string& name,
              std::string& target,
              const std::string& help) {
  add_value(app, name, "NAME,...", help, [name, &target](const std::string& text) {
    if (text.empty()) {
      throw InputError(
          {.where = name, .what = "an empty list", .expected = "names with commas between them"});
    }
    target = text;
  });
}

}  // namespace dms::cli
