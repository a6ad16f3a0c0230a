#include "train/data/generator_settings.h"

#include <algorithm>
#include <array>

#include "dms/error.h"

namespace dms::train::data {
namespace {

constexpr std::array<std::string_view, 5> kCommon{"kind", "source", "documents", "seed", "loss"};
constexpr int kMaxBarren = 1000;  // stretches in a row without a token of text

}  // namespace

GeneratorSettings::GeneratorSettings(const GeneratorContext& context,
                                     std::initializer_list<std::string_view> own)
    : fields_(context.settings, context.where), default_seed_(context.seed) {
  for (const auto& [key, value] : context.settings.items()) {
    const bool is_known = std::ranges::find(kCommon, key) != kCommon.end() ||
                          std::ranges::find(own, key) != own.end();
    if (is_known) continue;
    std::string names;
    for (const std::string_view name : kCommon) names += std::string(name) + ", ";
    for (const std::string_view name : own) names += std::string(name) + ", ";
    throw InputError({.where = context.where + "." + key,
                      .what = "unknown setting",
                      .expected = "one of " + names.substr(0, names.size() - 2)});
  }
}

uint64_t GeneratorSettings::seed() const {
  return fields_.has("seed") ? static_cast<uint64_t>(fields_.integer("seed", 0, INT64_MAX))
                             : default_seed_;
}

bool GeneratorSettings::loss_is(std::string_view other) const {
  const std::string loss = fields_.string_or("loss", "all");
  if (loss == "all" || loss == other) return loss == other;
  throw InputError({.where = fields_.where() + ".loss",
                    .what = "bad value",
                    .got = loss,
                    .expected = "all or " + std::string(other)});
}

Range GeneratorSettings::range(std::string_view name,
                               Range fallback,
                               int64_t min,
                               int64_t max) const {
  const Json* value = fields_.find(name);
  if (value == nullptr) return fallback;
  if (!value->is_array()) {
    const int64_t both = fields_.integer(name, min, max);
    return {both, both};
  }
  const std::string where = fields_.where() + "." + std::string(name);
  const std::vector<int32_t> ends = integer_array(*value, max, where);
  if (ends.size() == 2 && ends[0] >= min && ends[0] <= ends[1]) return {ends[0], ends[1]};
  throw InputError({.where = where,
                    .what = "bad range",
                    .got = value->dump(),
                    .expected = "[smallest, largest], from " + std::to_string(min) + " to " +
                                std::to_string(max)});
}

void require_source(const GeneratorContext& context) {
  if (context.source != nullptr) return;
  throw InputError({.where = context.where + ".source",
                    .what = "missing",
                    .expected = "the name of a dataset whose text is used"});
}

std::vector<int32_t> draw_source_tokens(const GeneratorContext& context,
                                        int64_t count,
                                        Random& random) {
  const TokenStore& source = *context.source;
  std::vector<int32_t> ids;
  int barren = 0;
  while (std::ssize(ids) < count) {
    const int64_t missing = count - std::ssize(ids);
    const int64_t place = random.below(source.tokens());
    const int64_t document = source.document_of(place);
    const int64_t end = std::min(source.offset(document + 1), place + missing);
    const int64_t begin = std::max(source.offset(document), end - missing);
    Sample stretch;
    source.read(begin, end - begin, stretch);
    std::erase_if(stretch.ids, [&](int32_t id) { return context.model.tokenizer.is_special(id); });
    ids.insert(ids.end(), stretch.ids.begin(), stretch.ids.end());
    barren = stretch.ids.empty() ? barren + 1 : 0;
    if (barren < kMaxBarren) continue;
    throw InputError({.where = context.where + ".source", .what = "holds no text to draw from"});
  }
  return ids;
}

}  // namespace dms::train::data
