#pragma once
// A conversation of several turns over one session. Only what is new in the rendered conversation
// is appended to the cache; where a template rewrites what was said, the cache is rolled back to
// what both have in common.

#include <filesystem>
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
  /// Answers the last question again, as say(), with a seed that it was not answered with yet. When
  /// it throws, the earlier answer stays. There must be one.
  Generation retry(const SamplingParams& sampling,
                   const TextSink& on_text,
                   const Progress& progress);
  /// Forgets everything but the system message.
  void reset();
  /// Forgets the last question and its answer; false when there is none.
  bool undo();
  bool has_answer() const;

  /// Writes messages and cache to a folder, or to a file whose name ends in .json the messages
  /// alone: whole or not at all. Throws as write_conversation().
  void save(const std::filesystem::path& path);
  /// Goes on with what save() wrote; from messages alone the cache is computed with the next
  /// question. When it throws InputError, or RunError at the memory limit, the conversation is as
  /// it was before.
  void load(const std::filesystem::path& path);

  const std::vector<ChatMessage>& messages() const { return messages_; }
  const Session& session() const { return session_; }

 private:
  /// The answer to the last of `messages`, which with it become the conversation.
  Generation answer(std::vector<ChatMessage> messages,
                    const SamplingParams& sampling,
                    const TextSink& on_text,
                    const Progress& progress);
  void load_with_cache(const std::filesystem::path& folder);
  void forget_cache();
  /// The tokens of the conversation, one to the most that fit.
  std::vector<int32_t> ids_of(const std::vector<ChatMessage>& messages) const;
  /// What the history holds of an answer: its text with the marks a template may look for ([THINK])
  /// although they are special tokens, without end-of-turn tokens.
  std::string message_of(const Generation& answer, const std::vector<std::string>& stops) const;
  /// Rolls the cache back to what it shares with `ids`, less at least one token to compute.
  void keep_common_with(std::span<const int32_t> ids, const Progress& progress);

  LLM& llm_;
  const ChatPrompt& prompt_;
  CacheOptions cache_;
  Session session_;
  std::vector<ChatMessage> messages_;
  int64_t retries_ = 0;  // how often the last question was answered again
};

}  // namespace dms::cli
