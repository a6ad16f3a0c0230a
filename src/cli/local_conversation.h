#pragma once
// A conversation with a model in this program, over one session. Only what is new in the rendered
// conversation is appended to the cache; where a template rewrites what was said, the cache is
// rolled back to what both have in common.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/chat_document.h"
#include "cli/chat_prompt.h"
#include "cli/conversation.h"
#include "dms/llm.h"

namespace dms::cli {

class LocalConversation final : public Conversation {
 public:
  /// `llm` and `prompt` must outlive this. `system` may be empty.
  LocalConversation(LLM& llm,
                    const ChatPrompt& prompt,
                    const CacheOptions& cache,
                    std::string system);
  /// Goes on from the document, its cache kept as the document's.
  LocalConversation(LLM& llm, const ChatPrompt& prompt, ChatDocument document);

  /// To a folder messages and cache, or to a file whose name ends in .json the messages alone.
  void save(const std::filesystem::path& path) override;
  /// From messages alone the cache is computed with the next question.
  void load(const std::filesystem::path& path) override;

  Timings timings() const override;
  std::string holdings() const override;
  std::string memory() const override;
  std::string what_is_full() const override;
  bool has_cache() const override { return true; }
  const Session& session() const { return session_; }

 private:
  Answer answer(const std::vector<ChatMessage>& messages,
                const SamplingParams& sampling,
                const TextSink& on_text,
                const Progress& progress) override;
  void forget() override;
  /// The conversation begins as the document, or without it from now on.
  void keep_document();
  void load_with_cache(const std::filesystem::path& folder);
  /// The tokens of the conversation, one to the most that fit.
  std::vector<int32_t> ids_of(const std::vector<ChatMessage>& messages) const;
  /// What the history holds of an answer: its text with the marks a template may look for ([THINK])
  /// although they are special tokens, without end-of-turn tokens.
  std::string message_of(const Generation& answer, const std::vector<std::string>& stops) const;
  /// Rolls the cache back to what `ids` can go on from.
  void keep_common_with(std::span<const int32_t> ids, const Progress& progress);
  /// With the document's cache, or an empty one.
  void begin_anew();

  LLM& llm_;
  const ChatPrompt& prompt_;
  CacheOptions cache_;
  std::optional<ChatDocument> document_;
  Session session_;
  bool is_of_document_ = false;  // session_ began with document_'s cache
  Timings earlier_;              // of sessions before this one
};

}  // namespace dms::cli
