#include "cli/conversation.h"

#include <algorithm>

#include "base/check.h"
#include "cli/saved_conversation.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr const char* kMessagesAlone = ".json";

}  // namespace

Conversation::Conversation(LLM& llm,
                           const ChatPrompt& prompt,
                           const CacheOptions& cache,
                           std::string system)
    : llm_(llm), prompt_(prompt), cache_(cache), session_(llm.new_session(cache)) {
  if (!system.empty()) messages_.push_back({.role = "system", .content = std::move(system)});
}

std::string Conversation::message_of(const Generation& answer,
                                     const std::vector<std::string>& stops) const {
  std::vector<int32_t> ids = answer.ids;
  const std::vector<int32_t>& ends = llm_.info().eos_ids;
  std::erase_if(ids, [&](int32_t id) { return std::ranges::find(ends, id) != ends.end(); });
  std::string text = answer.text;
  // Without marks among the tokens the text as it was shown is the message, cut at a stop text.
  if (std::string marked = llm_.decode(ids, false); marked != llm_.decode(ids, true)) {
    size_t end = marked.size();
    for (const std::string& stop : stops) end = std::min(end, marked.find(stop));
    text = marked.substr(0, end);
  }
  return text.substr(std::min(text.find_first_not_of(" \n"), text.size()));
}

void Conversation::keep_common_with(std::span<const int32_t> ids, const Progress& progress) {
  const int64_t common = std::min(common_prefix(session_.ids(), ids), std::ssize(ids) - 1);
  if (common < session_.tokens()) session_.truncate(common, progress);
}

std::vector<int32_t> Conversation::ids_of(const std::vector<ChatMessage>& messages) const {
  const int64_t most = session_.max_tokens();
  const auto refuse_too_long = [most](const std::vector<int32_t>& tokens) {
    if (std::ssize(tokens) <= most) return;
    throw InputError({.where = "conversation",
                      .what = "longer than the model's context",
                      .got = "more than " + std::to_string(most) + " tokens",
                      .expected = "at most " + std::to_string(most),
                      .hint = "shorten the question, or make room with /undo or /reset"});
  };
  // To render a text of hundreds of megabytes would cost many times what it costs to refuse it.
  refuse_too_long(llm_.encode(messages.back().content, false, most));
  std::vector<int32_t> ids =
      llm_.encode(prompt_.render(messages), prompt_.adds_special_tokens(), most);
  if (ids.empty()) {
    throw InputError({.where = prompt_.source(),
                      .what = "the chat template renders the conversation to nothing",
                      .got = "0 tokens",
                      .expected = "at least 1"});
  }
  refuse_too_long(ids);
  return ids;
}

Generation Conversation::say(const std::string& text,
                             const SamplingParams& sampling,
                             const TextSink& on_text,
                             const Progress& progress) {
  std::vector<ChatMessage> messages = messages_;
  messages.push_back({.role = "user", .content = text});
  Generation said = answer(std::move(messages), sampling, on_text, progress);
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
  Generation said = answer(std::move(messages), other, on_text, progress);
  ++retries_;
  return said;
}

Generation Conversation::answer(std::vector<ChatMessage> messages,
                                const SamplingParams& sampling,
                                const TextSink& on_text,
                                const Progress& progress) {
  // Where something throws, what it left in the cache is rolled back by the next question, which
  // can be stopped: as far as they do not share it.
  const std::vector<int32_t> ids = ids_of(messages);
  keep_common_with(ids, progress);
  const auto fresh = std::span(ids).subspan(static_cast<size_t>(session_.tokens()));
  if (progress) progress(0, std::ssize(fresh));  // a caller who gave up meanwhile may throw
  Generation answer = session_.generate(fresh, sampling, on_text, progress);
  if (!answer.error.empty() && answer.ids.empty()) {
    throw RunError({.what = answer.error, .hint = "/undo or /reset makes room"});
  }
  messages.push_back({.role = "assistant", .content = message_of(answer, sampling.stop)});
  messages_ = std::move(messages);
  return answer;
}

void Conversation::forget_cache() {
  session_.truncate(0);  // first: old and new cache together may be above the memory limit
  session_ = llm_.new_session(cache_);
}

void Conversation::reset() {
  const bool has_system = !messages_.empty() && messages_.front().role == "system";
  messages_.resize(has_system ? 1 : 0);
  retries_ = 0;
  forget_cache();
}

bool Conversation::has_answer() const {
  return !messages_.empty() && messages_.back().role == "assistant";
}

bool Conversation::undo() {
  if (!has_answer()) return false;
  messages_.resize(messages_.size() - 2);
  retries_ = 0;
  return true;
}

void Conversation::save(const std::filesystem::path& path) {
  if (path.extension() == kMessagesAlone) {
    write_messages(path, messages_);
  } else {
    write_conversation(path, {.messages = messages_, .retries = retries_}, session_);
  }
}

void Conversation::load(const std::filesystem::path& path) {
  if (path.extension() != kMessagesAlone) {
    load_with_cache(path);
    return;
  }
  messages_ = read_messages(path);
  retries_ = 0;
  forget_cache();
}

void Conversation::load_with_cache(const std::filesystem::path& folder) {
  SavedConversation saved = read_conversation(folder);
  try {
    session_ = llm_.load_session(session_file_of(folder));
  } catch (const RunError& error) {
    ErrorParts parts = error.parts();
    parts.hint = "/reset makes room for it";
    throw RunError(parts);
  }
  messages_ = std::move(saved.messages);
  retries_ = saved.retries;
}

}  // namespace dms::cli
