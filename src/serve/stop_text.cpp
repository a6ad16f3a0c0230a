#include "serve/stop_text.h"

#include <algorithm>
#include <string_view>

namespace dms::serve {
namespace {

/// What the answer's tokens say after its text, where they say that text first. A tokenizer may
/// begin a text without the blank that its continuation begins with.
std::string_view rest_of(std::string_view whole, std::string_view text) {
  if (!whole.starts_with(text) && text.starts_with(' ')) text.remove_prefix(1);
  return whole.starts_with(text) ? whole.substr(text.size()) : std::string_view();
}

/// Of those that begin `rest` the one that ended first was met.
const std::string* met_first(std::string_view rest, std::span<const std::string> stops) {
  const std::string* met = nullptr;
  for (const std::string& stop : stops) {
    if (rest.starts_with(stop) && (met == nullptr || stop.size() < met->size())) met = &stop;
  }
  return met;
}

}  // namespace

/// The text ends where the stop text begins. Special tokens are no part of a text, but a stop text
/// may be, or hold, their spelling.
std::optional<std::string> stop_text_of(const Generation& answer,
                                        std::span<const std::string> stops,
                                        std::span<const int32_t> end_ids,
                                        const Tokenizer& tokenizer) {
  if (stops.empty() || answer.finish_reason != "stop") return std::nullopt;
  const bool has_ended_itself =
      !answer.ids.empty() && std::ranges::find(end_ids, answer.ids.back()) != end_ids.end();
  if (has_ended_itself) return std::nullopt;
  for (const bool skips_special_tokens : {true, false}) {
    const std::string whole = tokenizer.decode(answer.ids, skips_special_tokens);
    if (const std::string* met = met_first(rest_of(whole, answer.text), stops)) return *met;
  }
  return std::nullopt;
}

}  // namespace dms::serve
