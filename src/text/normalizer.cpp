#include "text/normalizer.h"

#include <algorithm>
#include <optional>

#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/pipeline_json.h"
#include "text/unicode.h"

namespace dms::text {
namespace {

constexpr uint32_t kDropped = UINT32_MAX;

std::optional<NormalForm> form_named(std::string_view type) {
  if (type == "NFC") return NormalForm::nfc;
  if (type == "NFD") return NormalForm::nfd;
  if (type == "NFKC") return NormalForm::nfkc;
  if (type == "NFKD") return NormalForm::nfkd;
  return std::nullopt;
}

// SentencePiece's cleaning for machine translation: controls go, white space becomes a space.
uint32_t nmt_mapping(uint32_t c) {
  const auto within = [c](uint32_t first, uint32_t last) { return c >= first && c <= last; };
  if (within(0x1, 0x8) || c == 0xB || within(0xE, 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F) {
    return kDropped;
  }
  const bool is_space = c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
                        within(0x200B, 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                        c == 0xFEFF || c == 0xFFFD;
  return is_space ? ' ' : c;
}

}  // namespace

Normalizer::Normalizer(const Json& json, const std::string& where) : where_(where) {
  read(json, where);
  check_steps(steps_.size(), where);
}

void Normalizer::read(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  const std::string type = fields.string("type");
  const std::string here = where + ": " + type;
  if (type == "Sequence") {
    for (const Json& step : read_steps(fields, "normalizers")) read(step, where);
  } else if (const auto form = form_named(type)) {
    steps_.emplace_back(Form{*form});
  } else if (type == "Prepend") {
    steps_.emplace_back(Prepend{fields.string("prepend")});
  } else if (type == "Replace") {
    const Json* pattern = fields.find("pattern");
    steps_.emplace_back(Replace{read_pattern(pattern == nullptr ? Json() : *pattern, here),
                                fields.string("content")});
  } else if (type == "Strip") {
    steps_.emplace_back(
        Strip{fields.boolean_or("strip_left", true), fields.boolean_or("strip_right", true)});
  } else if (type == "Lowercase") {
    steps_.emplace_back(Lowercase{});
  } else if (type == "StripAccents") {
    steps_.emplace_back(StripAccents{});
  } else if (type == "Nmt") {
    steps_.emplace_back(Nmt{});
  } else if (type == "ByteLevel") {
    steps_.emplace_back(ByteLevel{});
  } else if (type == "Precompiled") {
    steps_.emplace_back(Charsmap(fields.string("precompiled_charsmap"), here));
  } else {
    throw_unknown(where,
                  type,
                  "NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Prepend, Replace, "
                  "Precompiled, Nmt, ByteLevel, Sequence");
  }
}

// One step on a text. What can make it longer is checked against the limit.
class Normalizer::Run {
 public:
  Run(std::string_view text, const GrowthLimit& limit, RegexWork& work)
      : text_(text), limit_(limit), work_(work) {}

  std::string operator()(const Form& step) { return checked(to_normal_form(step.form, text_)); }

  std::string operator()(const Prepend& step) {
    if (text_.empty()) return {};
    limit_.check(step.text.size() + text_.size());
    return std::string(step.text).append(text_);
  }

  std::string operator()(const Replace& step) {
    return replace_matches(step.pattern, text_, step.content, limit_, work_);
  }

  std::string operator()(const Strip& step) {
    std::string_view rest = text_;
    if (step.left) rest.remove_prefix(leading_space_bytes(rest));
    dropped_first_ = rest.size() < text_.size() && rest.data() != text_.data();
    if (step.right) rest = rest.substr(0, bytes_before_trailing_space(rest));
    return std::string(rest);
  }

  std::string operator()(const Lowercase&) { return checked(to_lowercase(text_)); }

  std::string operator()(const StripAccents&) {
    const uint16_t* bits = code_point_bits();
    return mapped([bits](uint32_t c) { return (bits[c] & kCombiningMark) != 0 ? kDropped : c; });
  }

  std::string operator()(const Nmt&) { return mapped(nmt_mapping); }
  std::string operator()(const ByteLevel&) { return checked(to_byte_alphabet(text_)); }
  std::string operator()(const Charsmap& step) { return step.apply(text_, limit_); }

  /// Whether the step took the first character away.
  bool dropped_first() const { return dropped_first_; }

 private:
  std::string checked(std::string made) const {
    limit_.check(made.size());
    return made;
  }

  template <class Mapping>
  std::string mapped(const Mapping& mapping) {
    std::string out;
    out.reserve(text_.size());
    for (size_t at = 0; at < text_.size();) {
      const CodePoint next = code_point_at(text_, at);
      const uint32_t to = mapping(next.value);
      if (to != kDropped) append_utf8(out, to);
      dropped_first_ = dropped_first_ || (at == 0 && to == kDropped);
      at += static_cast<size_t>(next.bytes);
    }
    return out;
  }

  std::string_view text_;
  const GrowthLimit& limit_;
  RegexWork& work_;
  bool dropped_first_ = false;
};

Normalizer::Result Normalizer::apply(std::string_view text,
                                     size_t input_bytes,
                                     RegexWork& work) const {
  if (steps_.empty()) return {.text = std::string(text), .keeps_start = true};
  const GrowthLimit limit(where_, input_bytes);
  Result result{.text = {}, .keeps_start = true};
  for (size_t i = 0; i < steps_.size(); ++i) {
    Run run(i == 0 ? text : result.text, limit, work);
    std::string made = std::visit(run, steps_[i]);
    result.keeps_start = result.keeps_start && !run.dropped_first();
    result.text = std::move(made);
  }
  return result;
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
