#pragma once
// Hugging Face's tokenizer.json with a BPE or Unigram model: text to ids and back, the same ids and
// text as the `tokenizers` library gives. Byte-level and SentencePiece-style vocabularies. What the
// file asks for and this class does not know is an InputError that names it. "truncation" and
// "padding" are left aside: they are settings of a call, not of the vocabulary.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace dms::text {

/// Movable. Const methods may be called from several threads at once.
class Tokenizer {
 public:
  /// Reads a tokenizer.json. Throws InputError when the file is missing, broken or not supported.
  static Tokenizer load(const std::filesystem::path& tokenizer_json);

  /// Reads the tokenizer.json of a model's folder and, where they exist, the files beside it that
  /// add tokens, set their flags and name those that begin and end a text (side_tokens.h). Throws
  /// as load().
  static Tokenizer load_folder(const std::filesystem::path& folder);

  /// The tokenizer.json alone, from memory; `where` names it in errors.
  static Tokenizer parse(std::string_view json, const std::string& where);

  /// The tokenizer that the metadata of a GGUF file describe (gguf_tokenizer.h).
  static Tokenizer from_gguf(const nlohmann::json& metadata, const std::string& where);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Ids of `utf8`. Ill-formed UTF-8 is read as Python's errors="replace" reads it: U+FFFD.
  /// Throws InputError when a pattern of the file needs too many steps, when a stage makes the text
  /// absurdly longer (growth_limit.h) or when it exceeds 2^31 - 1 bytes.
  std::vector<int32_t> encode(std::string_view utf8, bool add_special_tokens) const;

  /// The same where more than `max_tokens` are of no use: stops once there are sure to be more, and
  /// returns more than `max_tokens` ids, not all of which need to be the text's. So a text that is
  /// far too long costs little, be it a single word.
  std::vector<int32_t> encode(std::string_view utf8,
                              bool add_special_tokens,
                              int64_t max_tokens) const;

  /// Text of `ids`; ids outside the vocabulary are left out. Always well-formed UTF-8: bytes that
  /// make no character become U+FFFD. Throws InputError as encode() for absurdly long text.
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens) const;

  /// The vocabulary's own spelling of a token (byte-level ones in the byte alphabet; added tokens
  /// that are sought in normalized text in their normalized form), or null.
  const std::string* token_text(int32_t id) const;
  /// What a token in the midst of a text adds to it: perhaps a part of a character. Empty for an id
  /// that is no token's.
  std::string token_bytes(int32_t id) const;
  /// The id of a token as the file writes it.
  std::optional<int32_t> token_id(std::string_view token) const;
  bool is_special(int32_t id) const;
  /// Whether decode() makes nothing of `id`.
  bool leaves_out(int32_t id, bool skip_special_tokens) const;
  /// The text of a special token, which decode() leaves out on request; nothing for other ids.
  std::optional<std::string> special_text(int32_t id) const;

  /// The tokens that the files of a folder name as bos_token and eos_token.
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;

  /// Every added token with its id and flags, as one text: what side files change of a
  /// tokenizer.json shows in it.
  std::string describe_added_tokens() const;

  /// Number of tokens, added ones included.
  int64_t vocab_size() const;
  /// One more than the largest id: what a model's embedding needs at least.
  int64_t id_limit() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dms::text
