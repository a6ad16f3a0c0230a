#pragma once
// A conversation of several turns over one session. Only what is new in the rendered conversation
// is appended to the cache; where a template rewrites what was said, the cache is rolled back to
// what both have in common.

#include <string>
#include <vector>

#include "cli/chat_prompt.h"
#include "dms/llm.h"

namespace dms::cli {

class Conversation {
 public:
  /// `llm` and `prompt` must outlive this. `system` may be empty.
  Conversation(LLM& llm, const ChatPrompt& prompt, const CacheOptions& cache, std::string system);

  /// Says `text` and returns the answer, handing it to `on_text` piece by piece. An answer that
  /// something cut short, as its `error` says, is kept as far as it came. When it throws, the
  /// conversation is as it was before.
  Generation say(const std::string& text,
                 const SamplingParams& sampling,
                 const TextSink& on_text,
                 const Progress& progress);
  /// Forgets everything but the system message.
  void reset();
  /// Forgets the last question and its answer; false when there is none.
  bool undo();

  const std::vector<ChatMessage>& messages() const { return messages_; }
  const Session& session() const { return session_; }

 private:
  /// The tokens of the conversation, one to the most that fit.
  std::vector<int32_t> ids_of(const std::vector<ChatMessage>& messages) const;
  /// What the history holds of an answer: its text with the marks a template may look for ([THINK])
  /// although they are special tokens, without end-of-turn tokens.
  std::string message_of(const Generation& answer, const std::vector<std::string>& stops) const;
  /// Rolls the cache back to what it shares with `ids`, less at least one token to compute.
  void keep_common_with(std::span<const int32_t> ids, const Progress& progress);
  /// The cache holds a beginning of `ids`, or these and tokens nobody knows.
  void note_cached(std::vector<int32_t> ids);

  LLM& llm_;
  const ChatPrompt& prompt_;
  CacheOptions cache_;
  Session session_;
  std::vector<ChatMessage> messages_;
  std::vector<int32_t> cached_ids_;  // the first tokens in the session's cache
};

}  // namespace dms::cli
