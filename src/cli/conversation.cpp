#include "cli/conversation.h"

#include <utility>

#include "base/check.h"

namespace dms::cli {

Conversation::Conversation(std::vector<ChatMessage> beginning)
    : messages_(std::move(beginning)), beginning_(std::ssize(messages_)) {}

Generation Conversation::say(const std::string& text,
                             const SamplingParams& sampling,
                             const TextSink& on_text,
                             const Progress& progress) {
  std::vector<ChatMessage> messages = messages_;
  messages.push_back({.role = "user", .content = text});
  Generation said = append_answer(std::move(messages), sampling, on_text, progress);
  retries_ = 0;
  return said;
}

Generation Conversation::retry(const SamplingParams& sampling,
                               const TextSink& on_text,
                               const Progress& progress) {
  ensure(has_answer(), "an answer to be given again");
  SamplingParams other = sampling;
  other.seed += static_cast<uint64_t>(retries_) + 1;
  std::vector<ChatMessage> messages = messages_;
  messages.pop_back();
  Generation said = append_answer(std::move(messages), other, on_text, progress);
  ++retries_;
  return said;
}

Generation Conversation::append_answer(std::vector<ChatMessage> messages,
                                       const SamplingParams& sampling,
                                       const TextSink& on_text,
                                       const Progress& progress) {
  Answer said = answer(messages, sampling, on_text, progress);
  messages.push_back({.role = "assistant", .content = std::move(said.message)});
  messages_ = std::move(messages);
  return std::move(said.generation);
}

void Conversation::reset() {
  messages_.resize(static_cast<size_t>(beginning_));
  retries_ = 0;
  forget();
}

bool Conversation::has_answer() const {
  return std::ssize(messages_) > beginning_ && messages_.back().role == "assistant";
}

bool Conversation::undo() {
  if (!has_answer()) return false;
  messages_.resize(messages_.size() - 2);
  retries_ = 0;
  return true;
}

void Conversation::replace(std::vector<ChatMessage> messages, int64_t beginning, int64_t retries) {
  messages_ = std::move(messages);
  beginning_ = beginning;
  retries_ = retries;
}

std::vector<ChatMessage> system_message(std::string text) {
  std::vector<ChatMessage> messages;
  if (!text.empty()) messages.push_back({.role = "system", .content = std::move(text)});
  return messages;
}

void add(Timings& sum, const Timings& more) {
  sum.prefill_s += more.prefill_s;
  sum.decode_s += more.decode_s;
  sum.attention_s += more.attention_s;
  sum.prefill_tokens += more.prefill_tokens;
  sum.decode_tokens += more.decode_tokens;
}

bool holds_messages_alone(const std::filesystem::path& path) { return path.extension() == ".json"; }

}  // namespace dms::cli
