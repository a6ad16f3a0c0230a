#pragma once
// Ids one after the other into pieces of text, for output that is shown while it is made.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace dms::text {

class Tokenizer;

/// Never gives half a character: text is held back while it ends in U+FFFD, as `tokenizers`'
/// DecodeStream does. All pieces together are what decode() makes of all ids, but that a run of
/// byte tokens which turns out to be broken has given its whole characters already. A push costs
/// the same however long the stream is. One thread at a time.
class StreamDecoder {
 public:
  /// `tokenizer` must outlive this.
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens);

  /// Goes on after a text whose ids (the last ones suffice) are `before`: a piece keeps the space
  /// that decode() drops at the start of a text, and a character that `before` began comes whole.
  StreamDecoder(const Tokenizer& tokenizer,
                bool skip_special_tokens,
                std::span<const int32_t> before);

  /// The text that became certain with this token; empty when there is none yet.
  std::string push(int32_t id);

  /// What was held back (with U+FFFD where a character stayed unfinished). Then starts afresh.
  std::string finish();

  /// Ids that the next push decodes again.
  size_t held() const { return ids_.size(); }

 private:
  bool shows(int32_t id) const;
  std::string text(std::span<const int32_t> ids) const;
  std::string give(const std::string& now);
  std::string settle_broken(const std::string& now);

  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::vector<int32_t> ids_;  // those whose text is `given_`, then the ones held back
  size_t given_ids_ = 0;
  std::string given_;
};

}  // namespace dms::text
