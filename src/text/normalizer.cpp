#include "text/normalizer.h"

#include <algorithm>

#include "text/nfc.h"
#include "text/pipeline_json.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace dms::text {

Normalizer::Normalizer(const Json& json, const std::string& where) : where_(where) {
  read(json, where);
}

void Normalizer::read(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  const std::string type = fields.string("type");
  const std::string here = where + ": " + type;
  if (type == "Sequence") {
    for (const Json& step : read_steps(fields, "normalizers")) read(step, where);
  } else if (type == "NFC") {
    steps_.emplace_back(Nfc{});
  } else if (type == "Prepend") {
    steps_.emplace_back(Prepend{fields.string("prepend")});
  } else if (type == "Replace") {
    const Json* pattern = fields.find("pattern");
    steps_.emplace_back(Replace{read_pattern(pattern == nullptr ? Json() : *pattern, here),
                                fields.string("content")});
  } else if (type == "Strip") {
    steps_.emplace_back(
        Strip{fields.boolean_or("strip_left", true), fields.boolean_or("strip_right", true)});
  } else {
    throw_unknown(where, type);
  }
}

std::string Normalizer::apply(std::string_view text, size_t input_bytes) const {
  const GrowthLimit limit(where_, input_bytes);
  std::string current(text);
  for (const Step& step : steps_) {
    current = std::visit([&](const auto& kind) { return run(kind, current, limit); }, step);
  }
  return current;
}

bool Normalizer::keeps_start(std::string_view text) const {
  const bool strips = std::any_of(steps_.begin(), steps_.end(), [](const Step& step) {
    const auto* strip = std::get_if<Strip>(&step);
    return strip != nullptr && strip->left;
  });
  return !strips || leading_space_bytes(text) == 0;
}

// Form C is at most three times as long as the text, and then stays as it is.
std::string Normalizer::run(const Nfc&, std::string_view text, const GrowthLimit& limit) {
  std::string composed = to_nfc(text);
  limit.check(composed.size());
  return composed;
}

std::string Normalizer::run(const Prepend& step, std::string_view text, const GrowthLimit& limit) {
  if (text.empty()) return {};
  limit.check(step.text.size() + text.size());
  return step.text + std::string(text);
}

std::string Normalizer::run(const Replace& step, std::string_view text, const GrowthLimit& limit) {
  return replace_matches(step.pattern, text, step.content, limit);
}

std::string Normalizer::run(const Strip& step, std::string_view text, const GrowthLimit&) {
  if (step.left) text.remove_prefix(leading_space_bytes(text));
  if (step.right) text = text.substr(0, bytes_before_trailing_space(text));
  return std::string(text);
}

size_t leading_space_bytes(std::string_view text) {
  const uint16_t* bits = code_point_bits();
  size_t at = 0;
  while (at < text.size()) {
    const CodePoint next = code_point_at(text, at);
    if (!is_space(bits[next.value])) break;
    at += static_cast<size_t>(next.bytes);
  }
  return at;
}

size_t bytes_before_trailing_space(std::string_view text) {
  const uint16_t* bits = code_point_bits();
  size_t end = text.size();
  while (end > 0) {
    const CodePoint last = code_point_before(text, end);
    if (!is_space(bits[last.value])) break;
    end -= static_cast<size_t>(last.bytes);
  }
  return end;
}

}  // namespace dms::text
