#include "text/decoder.h"

#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/pipeline_json.h"

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

size_t sum_of_sizes(const std::vector<std::string>& tokens) {
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
  check_steps(steps_.size(), where);
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
  } else if (type == "BPEDecoder") {
    steps_.emplace_back(Bpe{JsonFields(json, here).string_or("suffix", "</w>")});
  } else if (type == "WordPiece") {
    const JsonFields named(json, here);
    steps_.emplace_back(
        WordPiece{named.string_or("prefix", "##"), named.boolean_or("cleanup", true)});
  } else {
    throw_unknown(
        where,
        type,
        "ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace, BPEDecoder, WordPiece, "
        "Sequence");
  }
}

// The steps on one list of tokens: a whole text, or some out of its midst, whose ends are no
// text's and whose bytes need not make characters.
class Decoder::Run {
 public:
  enum class Part { whole, midst };

  Run(std::vector<std::string> tokens, const std::string& where, Part part)
      : tokens_(std::move(tokens)),
        is_whole_(part == Part::whole),
        limit_(where, sum_of_sizes(tokens_)),
        work_(sum_of_sizes(tokens_)) {}

  void step(const Step& step) {
    std::visit([this](const auto& kind) { run(kind); }, step);
    limit_.check(sum_of_sizes(tokens_));
  }
  std::string result(std::string_view separator) const { return joined(tokens_, separator); }

 private:
  void run(const ByteLevel&) {
    std::string bytes;
    for (const std::string& token : tokens_) bytes += from_byte_alphabet(token).value_or(token);
    const bool is_kept = !is_whole_ || is_well_formed(bytes);
    tokens_.assign(1, is_kept ? std::move(bytes) : to_well_formed(bytes));
    is_fused_ = true;
  }

  void run(const ByteFallback&) {
    std::vector<std::string> out;
    std::string bytes;
    const auto flush = [&] {
      if (!bytes.empty()) out.push_back(is_whole_ ? text_of_bytes(bytes) : bytes);
      bytes.clear();
    };
    for (std::string& token : tokens_) {
      if (const auto byte = fallback_byte(token)) {
        bytes.push_back(*byte);
        continue;
      }
      flush();
      out.push_back(std::move(token));
    }
    flush();
    tokens_ = std::move(out);
  }

  void run(const Fuse&) {
    tokens_.assign(1, joined(tokens_, ""));
    is_fused_ = true;
  }

  void run(const Strip& step) {
    if (is_fused_ && !is_whole_) return;  // it is about the text's ends
    for (std::string& token : tokens_) {
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

  void run(const Replace& step) {
    for (std::string& token : tokens_) replace(token, step.pattern, step.content);
  }

  void run(const Metaspace& step) {
    const Pattern pattern = LiteralPattern{step.replacement};
    for (size_t i = 0; i < tokens_.size(); ++i) {
      replace(tokens_[i], pattern, is_whole_ && i == 0 && step.drop_in_first ? "" : " ");
    }
  }

  void run(const Bpe& step) {
    if (step.suffix.empty()) return;
    const Pattern pattern = LiteralPattern{step.suffix};
    for (size_t i = 0; i < tokens_.size(); ++i) {
      replace(tokens_[i], pattern, is_whole_ && i + 1 == tokens_.size() ? "" : " ");
    }
  }

  void run(const WordPiece& step) {
    for (size_t i = 0; i < tokens_.size(); ++i) {
      std::string& token = tokens_[i];
      const bool goes_on = i > 0 || !is_whole_;
      if (goes_on && token.starts_with(step.prefix)) {
        token.erase(0, step.prefix.size());
      } else if (goes_on) {
        token = std::string(" ").append(token);
      }
      if (step.cleanup) clean_up(token);
    }
  }

  // Spaces that word pieces put where a writer does not.
  void clean_up(std::string& token) {
    constexpr std::array<std::pair<const char*, const char*>, 11> kWritten = {{
        {" .", "."},
        {" ?", "?"},
        {" !", "!"},
        {" ,", ","},
        {" ' ", "'"},
        {" n't", "n't"},
        {" 'm", "'m"},
        {" do not", " don't"},
        {" 's", "'s"},
        {" 've", "'ve"},
        {" 're", "'re"},
    }};
    for (const auto& [pieces, written] : kWritten) replace(token, LiteralPattern{pieces}, written);
  }

  void replace(std::string& token, const Pattern& pattern, std::string_view content) {
    const size_t before = token.size();
    token = replace_matches(pattern, token, content, limit_, work_);
    if (token.size() <= before) return;
    grown_ += token.size() - before;
    limit_.check(grown_);
  }

  std::vector<std::string> tokens_;
  bool is_whole_;
  bool is_fused_ = false;
  GrowthLimit limit_;
  RegexWork work_;
  size_t grown_ = 0;
};

std::string Decoder::apply(std::vector<std::string> tokens) const {
  Run run(std::move(tokens), where_, Run::Part::whole);
  for (const Step& step : steps_) run.step(step);
  return run.result(present_ ? "" : " ");
}

std::string Decoder::bytes_of(std::string token) const {
  Run run({std::move(token)}, where_, Run::Part::midst);
  for (const Step& step : steps_) run.step(step);
  return run.result("");
}

}  // namespace dms::text
