#pragma once
// A vocabulary by itself: text to token ids and back, and what single tokens are.

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dms {

namespace text {
class Tokenizer;
}

/// What a token is.
struct TokenInfo {
  std::string text;   // as the vocabulary spells it: "Ġdark", "▁dark", "<0xE4>", "</s>"
  std::string bytes;  // what it adds to a text: " dark"; perhaps a part of a character
  bool is_special = false;
};

/// A model's tokenizer. Copies share it; const functions may be called by any thread.
class Tokenizer {
 public:
  /// Opens a Hugging Face folder, whose other files add tokens, a tokenizer.json alone, or the
  /// vocabulary of a GGUF file. Throws InputError when it is missing, broken or not supported.
  explicit Tokenizer(const std::filesystem::path& path);

  /// Where more than `max_tokens` are of no use it stops once there are more, so that a text that
  /// is far too long costs little.
  std::vector<int32_t> encode(std::string_view text,
                              bool add_special_tokens = true,
                              int64_t max_tokens = std::numeric_limits<int32_t>::max()) const;
  /// Well-formed UTF-8 for any ids; those that are no token's are left out.
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens = true) const;

  /// Nothing where the id is no token's.
  std::optional<TokenInfo> token(int32_t id) const;
  /// The id of a token as the vocabulary spells it.
  std::optional<int32_t> id_of(std::string_view token) const;
  /// One more than the largest id.
  int64_t id_limit() const;
  /// The tokens that a folder's files name as those that begin and end a text.
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;

 private:
  friend class LLM;
  friend class ModelSource;
  std::shared_ptr<const text::Tokenizer> impl_;
};

}  // namespace dms
