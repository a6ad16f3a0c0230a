#include "cli/conversation.h"

#include <algorithm>

#include "dms/error.h"

namespace dms::cli {

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
  const int64_t common = std::min(common_prefix(cached_ids_, ids), std::ssize(ids) - 1);
  cached_ids_.resize(static_cast<size_t>(common));
  if (common < session_.tokens()) session_.truncate(common, progress);
}

void Conversation::note_cached(std::vector<int32_t> ids) {
  ids.resize(std::min(ids.size(), static_cast<size_t>(session_.tokens())));
  cached_ids_ = std::move(ids);
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
  std::vector<int32_t> ids = ids_of(messages);
  keep_common_with(ids, progress);
  const auto fresh = std::span(ids).subspan(cached_ids_.size());
  try {
    if (progress) progress(0, std::ssize(fresh));  // a caller who gave up meanwhile may throw
    Generation answer = session_.generate(fresh, sampling, on_text, progress);
    if (!answer.error.empty() && answer.ids.empty()) {
      throw RunError({.what = answer.error, .hint = "/undo or /reset makes room"});
    }
    ids.insert(ids.end(), answer.ids.begin(), answer.ids.end());
    note_cached(std::move(ids));
    messages.push_back({.role = "assistant", .content = message_of(answer, sampling.stop)});
    messages_ = std::move(messages);
    return answer;
  } catch (...) {
    // Nothing is computed here, where nobody could stop it: the next question rolls back what it
    // does not share.
    note_cached(std::move(ids));
    throw;
  }
}

void Conversation::reset() {
  const bool has_system = !messages_.empty() && messages_.front().role == "system";
  messages_.resize(has_system ? 1 : 0);
  cached_ids_.clear();
  session_.truncate(0);  // first: old and new cache together may be above the memory limit
  session_ = llm_.new_session(cache_);
}

bool Conversation::undo() {
  if (messages_.empty() || messages_.back().role != "assistant") return false;
  messages_.resize(messages_.size() - 2);
  return true;
}

}  // namespace dms::cli
