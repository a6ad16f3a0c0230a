#pragma once
// The normalizer of tokenizer.json: NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Prepend,
// Replace, Precompiled, Nmt, ByteLevel and sequences of them.

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "text/charsmap.h"
#include "text/growth_limit.h"
#include "text/normal_form.h"
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

  struct Result {
    std::string text;
    bool keeps_start;  // false where a step dropped the first character
  };

  /// `text` (well-formed UTF-8), normalized: an input of `input_bytes` or a part of it. Throws
  /// InputError when a step makes it absurdly long for that.
  Result apply(std::string_view text, size_t input_bytes, RegexWork& work) const;

 private:
  struct Form {
    NormalForm form;
  };
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
  struct Lowercase {};
  struct StripAccents {};
  struct Nmt {};
  struct ByteLevel {};
  using Step = std::
      variant<Form, Prepend, Replace, Strip, Lowercase, StripAccents, Nmt, ByteLevel, Charsmap>;
  class Run;

  void read(const Json& json, const std::string& where);

  std::string where_;
  std::vector<Step> steps_;
};

/// Bytes of the white space at the start of `text`, and the length of `text` without that at its
/// end.
size_t leading_space_bytes(std::string_view text);
size_t bytes_before_trailing_space(std::string_view text);

}  // namespace dms::text
