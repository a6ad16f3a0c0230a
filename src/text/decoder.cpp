#include "text/decoder.h"

#include <limits>
#include <optional>
#include <utility>

#include "text/byte_alphabet.h"
#include "text/pipeline_json.h"
#include "text/utf8.h"

namespace dms::text {
namespace {

std::string joined(const std::vector<std::string>& tokens, std::string_view separator) {
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) text += separator;
    text += tokens[i];
  }
  return text;
}

size_t bytes_of(const std::vector<std::string>& tokens) {
  size_t bytes = 0;
  for (const std::string& token : tokens) bytes += token.size();
  return bytes;
}

std::optional<uint32_t> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint32_t>(c - '0');
  const char lower = static_cast<char>(c | 0x20);
  if (lower >= 'a' && lower <= 'f') return static_cast<uint32_t>(lower - 'a' + 10);
  return std::nullopt;
}

// The byte that <0x..> stands for. A plus sign counts as a leading zero, as in `tokenizers`.
std::optional<char> fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  const auto high = token[3] == '+' ? 0u : hex_digit(token[3]);
  const auto low = hex_digit(token[4]);
  if (!high || !low) return std::nullopt;
  return static_cast<char>(*high << 4 | *low);
}

// A run of byte tokens: its characters, or one U+FFFD for each byte where it is ill-formed.
std::string text_of_bytes(const std::string& bytes) {
  if (is_well_formed(bytes)) return bytes;
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) append_utf8(text, kReplacement);
  return text;
}

}  // namespace

Decoder::Decoder(const Json& json, const std::string& where) : present_(true), where_(where) {
  read(json, where);
}

void Decoder::read(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  const std::string type = fields.string("type");
  const std::string here = where + ": " + type;
  if (type == "Sequence") {
    for (const Json& step : read_steps(fields, "decoders")) read(step, where);
  } else if (type == "ByteLevel") {
    steps_.emplace_back(ByteLevel{});
  } else if (type == "ByteFallback") {
    steps_.emplace_back(ByteFallback{});
  } else if (type == "Fuse") {
    steps_.emplace_back(Fuse{});
  } else if (type == "Strip") {
    constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
    const JsonFields named(json, here);
    steps_.emplace_back(Strip{read_character(named, "content"),
                              named.integer("start", 0, kMost),
                              named.integer("stop", 0, kMost)});
  } else if (type == "Replace") {
    const Json* pattern = fields.find("pattern");
    steps_.emplace_back(Replace{read_pattern(pattern == nullptr ? Json() : *pattern, here),
                                fields.string("content")});
  } else if (type == "Metaspace") {
    const JsonFields named(json, here);
    const bool older = named.boolean_or("add_prefix_space", true);
    const std::string scheme = named.string_or("prepend_scheme", older ? "always" : "never");
    steps_.emplace_back(Metaspace{read_character(named, "replacement"), scheme != "never"});
  } else {
    throw_unknown(where, type);
  }
}

std::string Decoder::apply(std::vector<std::string> tokens) const {
  const GrowthLimit limit(where_, bytes_of(tokens));
  for (const Step& step : steps_) {
    std::visit([&](const auto& kind) { run(kind, tokens, limit); }, step);
    limit.check(bytes_of(tokens));
  }
  return joined(tokens, present_ ? "" : " ");
}

void Decoder::run(const ByteLevel&, Tokens& tokens, const GrowthLimit&) {
  std::string bytes;
  for (const std::string& token : tokens) bytes += from_byte_alphabet(token).value_or(token);
  tokens.assign(1, is_well_formed(bytes) ? std::move(bytes) : to_well_formed(bytes));
}

void Decoder::run(const ByteFallback&, Tokens& tokens, const GrowthLimit&) {
  std::vector<std::string> out;
  std::string bytes;
  const auto flush = [&] {
    if (!bytes.empty()) out.push_back(text_of_bytes(bytes));
    bytes.clear();
  };
  for (std::string& token : tokens) {
    if (const auto byte = fallback_byte(token)) {
      bytes.push_back(*byte);
      continue;
    }
    flush();
    out.push_back(std::move(token));
  }
  flush();
  tokens = std::move(out);
}

void Decoder::run(const Fuse&, Tokens& tokens, const GrowthLimit&) {
  tokens.assign(1, joined(tokens, ""));
}

void Decoder::run(const Strip& step, Tokens& tokens, const GrowthLimit&) {
  for (std::string& token : tokens) {
    std::string_view rest = token;
    for (int64_t i = 0; i < step.start && rest.starts_with(step.content); ++i) {
      rest.remove_prefix(step.content.size());
    }
    for (int64_t i = 0; i < step.stop && rest.ends_with(step.content); ++i) {
      rest.remove_suffix(step.content.size());
    }
    token = std::string(rest);
  }
}

void Decoder::run(const Replace& step, Tokens& tokens, const GrowthLimit& limit) {
  size_t bytes = 0;
  for (std::string& token : tokens) {
    token = replace_matches(step.pattern, token, step.content, limit);
    bytes += token.size();
    limit.check(bytes);
  }
}

void Decoder::run(const Metaspace& step, Tokens& tokens, const GrowthLimit& limit) {
  const Pattern pattern = LiteralPattern{step.replacement};
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = replace_matches(pattern, tokens[i], i == 0 && step.drop_in_first ? "" : " ", limit);
  }
}

}  // namespace dms::text
