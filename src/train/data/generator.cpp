#include "train/data/generator.h"

#include <array>
#include <string_view>
#include <utility>

#include "dms/error.h"
#include "train/data/copy_generator.h"
#include "train/data/recall_generator.h"

namespace dms::train::data {
namespace {

using Make = std::unique_ptr<Generator> (*)(const GeneratorContext&);

constexpr std::array<std::pair<std::string_view, Make>, 2> kKinds{{
    {"recall", make_recall_generator},
    {"copy", make_copy_generator},
}};

}  // namespace

std::unique_ptr<Generator> make_generator(const GeneratorContext& context) {
  const std::string kind = JsonFields(context.settings, context.where).string("kind");
  for (const auto& [name, make] : kKinds) {
    if (name == kind) return make(context);
  }
  throw InputError({.where = context.where + ".kind",
                    .what = "unknown",
                    .got = kind,
                    .expected = "recall or copy"});
}

std::string generator_source(const Json& settings, const std::string& where) {
  return JsonFields(settings, where).string_or("source", "");
}

}  // namespace dms::train::data
