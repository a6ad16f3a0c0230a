#pragma once
// Tokens that are found in the text itself before (or after) it is normalized: special tokens and
// whatever else tokenizer.json lists under added_tokens.

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/function_ref.h"
#include "text/normalizer.h"
#include "text/vocabulary.h"

namespace dms::text {

struct AddedToken {
  int32_t id = 0;
  std::string content = {};
  bool single_word = false;   // only where no word character stands next to it
  bool lstrip = false;        // takes the white space before it
  bool rstrip = false;        // takes the white space after it
  bool normalized = false;    // sought in normalized text, itself normalized
  bool special = false;       // left out of decoded text on request
  std::string spelling = {};  // what is sought and what it decodes to; set by AddedTokens
};

/// `listed` (with ids) after `additions` were added in their order, as `tokenizers` adds them: one
/// that is known keeps its id and takes the new flags, but stays special; others get the ids after
/// the largest. Throws InputError (naming `where`) when ids run out.
std::vector<AddedToken> with_additions(std::vector<AddedToken> listed,
                                       const std::vector<AddedToken>& additions,
                                       const Vocabulary& vocabulary,
                                       const std::string& where);

/// A piece of text, or an added token that was found there.
struct Section {
  std::string_view text;
  std::optional<int32_t> token;
};
/// Takes a section; false asks for no more of them.
using SectionSink = FunctionRef<bool(const Section&)>;

/// Finds the tokens of one set, leftmost and then longest. Thread-safe.
class TokenFinder {
 public:
  void add(const AddedToken& token);
  bool empty() const { return tokens_.empty(); }

  /// Gives the sections of `text`, without empty ones; false when `sink` returned false.
  bool find(std::string_view text, SectionSink sink) const;

 private:
  struct Found {
    const AddedToken* token;
    size_t end;
  };
  std::optional<Found> longest_at(std::string_view text, size_t offset) const;

  std::deque<AddedToken> tokens_;
  std::array<bool, 256> starts_{};                   // by first byte
  std::unordered_map<uint64_t, uint32_t> edges_;     // node << 8 | byte
  std::vector<const AddedToken*> ends_ = {nullptr};  // by node; node 0 is the root
};

/// Throws InputError (naming `where`) for a token without content, or whose id is out of range or
/// belongs to another token.
void check_added_token(const AddedToken& token,
                       const Vocabulary& vocabulary,
                       const std::string& where);

/// All added tokens of a tokenizer. Thread-safe, movable.
class AddedTokens {
 public:
  AddedTokens() = default;
  /// Throws InputError for a token given twice.
  AddedTokens(std::vector<AddedToken> tokens,
              const Vocabulary& vocabulary,
              const Normalizer& normalizer,
              const std::string& where);

  const std::deque<AddedToken>& tokens() const { return tokens_; }
  const TokenFinder& plain() const { return plain_; }            // in the text as given
  const TokenFinder& normalized() const { return normalized_; }  // in normalized text
  const AddedToken* find(int32_t id) const;
  const AddedToken* find(std::string_view content) const;
  bool is_special(std::string_view content) const;
  int32_t largest_id() const { return largest_id_; }
  /// Tokens that the model's vocabulary does not have.
  int64_t beyond_vocabulary() const { return beyond_vocabulary_; }

 private:
  void add(AddedToken added,
           const Vocabulary& vocabulary,
           const Normalizer& normalizer,
           const std::string& where);

  std::deque<AddedToken> tokens_;
  std::unordered_map<int32_t, const AddedToken*> by_id_;
  std::unordered_map<std::string_view, const AddedToken*> by_content_;
  TokenFinder plain_;
  TokenFinder normalized_;
  int32_t largest_id_ = -1;
  int64_t beyond_vocabulary_ = 0;
};

}  // namespace dms::text
