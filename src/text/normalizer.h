#pragma once
// The normalizer of tokenizer.json: NFC, Prepend, Replace, Strip and sequences of them.

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "text/growth_limit.h"
#include "text/splitter.h"

namespace dms::text {

/// Thread-safe, movable.
class Normalizer {
 public:
  /// No normalizer: text stays as it is.
  Normalizer() = default;

  /// Throws InputError naming a kind it does not know.
  Normalizer(const Json& json, const std::string& where);

  bool is_identity() const { return steps_.empty(); }

  /// `text` (well-formed UTF-8), normalized: an input of `input_bytes` or a part of it. Throws
  /// InputError when a step makes it absurdly long for that.
  std::string apply(std::string_view text, size_t input_bytes) const;

  /// False where `text` loses its first character to a Strip.
  bool keeps_start(std::string_view text) const;

 private:
  struct Nfc {};
  struct Prepend {
    std::string text;
  };
  struct Replace {
    Pattern pattern;
    std::string content;
  };
  struct Strip {
    bool left;
    bool right;
  };
  using Step = std::variant<Nfc, Prepend, Replace, Strip>;

  void read(const Json& json, const std::string& where);
  static std::string run(const Nfc&, std::string_view text, const GrowthLimit& limit);
  static std::string run(const Prepend& step, std::string_view text, const GrowthLimit& limit);
  static std::string run(const Replace& step, std::string_view text, const GrowthLimit& limit);
  static std::string run(const Strip& step, std::string_view text, const GrowthLimit& limit);

  std::string where_;
  std::vector<Step> steps_;
};

/// Bytes of the white space at the start of `text`, and the length of `text` without that at its
/// end.
size_t leading_space_bytes(std::string_view text);
size_t bytes_before_trailing_space(std::string_view text);

}  // namespace dms::text
