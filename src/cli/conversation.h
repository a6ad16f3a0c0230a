#pragma once
// A conversation of several turns, whoever answers: a model in this program or a server.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "dms/chat.h"
#include "dms/llm.h"

namespace dms::cli {

class Conversation {
 public:
  /// `beginning`: messages that stay before the first question: a system message, or a document.
  explicit Conversation(std::vector<ChatMessage> beginning);
  virtual ~Conversation() = default;
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

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
  /// Forgets everything but the beginning.
  void reset();
  /// Forgets the last question and its answer; false when there is none.
  bool undo();
  bool has_answer() const;

  /// Writes the conversation, whole or not at all. Throws as write_conversation().
  virtual void save(const std::filesystem::path& path) = 0;
  /// Goes on with what save() wrote. When it throws InputError, or RunError at the memory limit,
  /// the conversation is as it was before.
  virtual void load(const std::filesystem::path& path) = 0;

  const std::vector<ChatMessage>& messages() const { return messages_; }
  /// Time and tokens of all turns so far.
  virtual Timings timings() const = 0;
  /// Where its cache is, and what that takes, for people: "512 tokens in the cache", "…, 1.2 MiB".
  virtual std::string holdings() const = 0;
  virtual std::string memory() const = 0;
  /// What an answer that was cut has filled, if not the limit set for it: "the model's context of
  /// 512 tokens".
  virtual std::string what_is_full() const = 0;
  /// Whether there is a cache in this program, to be saved.
  virtual bool has_cache() const = 0;

 protected:
  /// The answer to the last of `messages`, and what the history is to hold of it.
  struct Answer {
    Generation generation;
    std::string message;
  };
  virtual Answer answer(const std::vector<ChatMessage>& messages,
                        const SamplingParams& sampling,
                        const TextSink& on_text,
                        const Progress& progress) = 0;
  /// The conversation begins anew.
  virtual void forget() = 0;

  /// Goes on with other messages.
  void replace(std::vector<ChatMessage> messages, int64_t beginning, int64_t retries);
  int64_t beginning() const { return beginning_; }
  int64_t retries() const { return retries_; }

 private:
  Generation append_answer(std::vector<ChatMessage> messages,
                           const SamplingParams& sampling,
                           const TextSink& on_text,
                           const Progress& progress);

  std::vector<ChatMessage> messages_;
  int64_t beginning_;    // of messages_
  int64_t retries_ = 0;  // how often the last question was answered again
};

/// As Conversation begins: with one message, or with none where it is empty.
std::vector<ChatMessage> system_message(std::string text);

/// Adds what another turn, or another session, took.
void add(Timings& sum, const Timings& more);

/// Whether a file of that name holds messages alone, without a cache.
bool holds_messages_alone(const std::filesystem::path& path);

}  // namespace dms::cli
