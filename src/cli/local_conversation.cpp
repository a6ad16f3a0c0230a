#include "cli/local_conversation.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "cli/output.h"
#include "cli/saved_conversation.h"
#include "dms/document_prompt.h"
#include "dms/error.h"
#include "dms/kept_tokens.h"

namespace dms::cli {

LocalConversation::LocalConversation(LLM& llm,
                                     const ChatPrompt& prompt,
                                     const CacheOptions& cache,
                                     std::string system)
    : Conversation(system_message(std::move(system))),
      llm_(llm),
      prompt_(prompt),
      cache_(cache),
      session_(llm.new_session(cache)) {}

LocalConversation::LocalConversation(LLM& llm, const ChatPrompt& prompt, ChatDocument document)
    : Conversation(document.messages),
      llm_(llm),
      prompt_(prompt),
      cache_(document.document.cache()),
      document_(std::move(document)),
      session_(llm.new_session(document_->document)),
      is_of_document_(true) {}

std::string LocalConversation::message_of(const Generation& answer,
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

void LocalConversation::keep_common_with(std::span<const int32_t> ids, const Progress& progress) {
  const int64_t reusable = session_.reusable_tokens(ids);
  if (reusable == session_.tokens()) return;
  if (is_of_document_ && reusable == std::ssize(document_->document.ids())) return begin_anew();
  session_.truncate(reusable, progress);
}

void LocalConversation::begin_anew() {
  earlier_ = timings();
  session_.truncate(0);  // first: old and new cache together may be above the memory limit
  session_ = document_ ? llm_.new_session(document_->document) : llm_.new_session(cache_);
  is_of_document_ = document_.has_value();
}

std::vector<int32_t> LocalConversation::ids_of(const std::vector<ChatMessage>& messages) const {
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
  if (document_) require_beginning(document_->document.ids(), ids);
  return ids;
}

Conversation::Answer LocalConversation::answer(const std::vector<ChatMessage>& messages,
                                               const SamplingParams& sampling,
                                               const TextSink& on_text,
                                               const Progress& progress) {
  // Where something throws, what it left in the cache is rolled back by the next question, which
  // can be stopped: as far as they do not share it.
  const std::vector<int32_t> ids = ids_of(messages);
  keep_common_with(ids, progress);
  const auto fresh = std::span(ids).subspan(static_cast<size_t>(session_.tokens()));
  if (progress) progress(0, std::ssize(fresh));  // a caller who gave up meanwhile may throw
  const std::string& policy = cache_.policy.empty() ? llm_.info().policy : cache_.policy;
  const std::string_view known = note_on_prompt(policy, cache_, std::ssize(fresh));
  if (!known.empty()) note(known);
  Generation answer = session_.generate(fresh, sampling, on_text, progress);
  if (!answer.error.empty() && answer.ids.empty()) {
    throw RunError({.what = answer.error, .hint = "/undo or /reset makes room"});
  }
  std::string message = message_of(answer, sampling.stop);
  return {.generation = std::move(answer), .message = std::move(message)};
}

void LocalConversation::forget() {
  begin_anew();
  earlier_ = {};
}

void LocalConversation::save(const std::filesystem::path& path) {
  if (holds_messages_alone(path)) {
    if (messages_begin(messages()) != beginning()) {
      throw InputError({.where = path.string(),
                        .what = "messages alone do not tell where this document ends",
                        .expected = "a name that does not end in .json"});
    }
    write_messages(path, messages());
  } else {
    write_conversation(
        path, {.messages = messages(), .beginning = beginning(), .retries = retries()}, session_);
  }
}

void LocalConversation::load(const std::filesystem::path& path) {
  if (!holds_messages_alone(path)) {
    load_with_cache(path);
    return;
  }
  std::vector<ChatMessage> messages = read_messages(path);
  const int64_t beginning = messages_begin(messages);
  replace(std::move(messages), beginning, 0);
  keep_document();
  forget();
}

void LocalConversation::keep_document() {
  if (!document_) return;
  const std::vector<ChatMessage>& begin = document_->messages;
  const bool begins = std::ssize(begin) == beginning() &&
                      std::ranges::equal(begin,
                                         std::span(messages()).first(begin.size()),
                                         [](const ChatMessage& a, const ChatMessage& b) {
                                           return a.role == b.role && a.content == b.content &&
                                                  a.tool_calls == b.tool_calls &&
                                                  a.fields == b.fields;
                                         });
  if (!begins) document_.reset();
}

void LocalConversation::load_with_cache(const std::filesystem::path& folder) {
  SavedConversation saved = read_conversation(folder);
  try {
    session_ = llm_.load_session(session_file_of(folder));
  } catch (const RunError& error) {
    ErrorParts parts = error.parts();
    parts.hint = "/reset makes room for it";
    throw RunError(parts);
  }
  earlier_ = {};
  is_of_document_ = false;
  replace(std::move(saved.messages), saved.beginning, saved.retries);
  keep_document();
}

std::string LocalConversation::holdings() const {
  return fmt::format("{} tokens in the cache", session_.tokens());
}

Timings LocalConversation::timings() const {
  Timings sum = earlier_;
  add(sum, session_.timings());
  return sum;
}

std::string LocalConversation::memory() const { return kv_summary(session_.kv()); }

std::string LocalConversation::what_is_full() const {
  const int64_t context = llm_.info().context;
  if (context <= 0 || session_.tokens() < context) return {};
  return fmt::format("the model's context of {} tokens", context);
}

}  // namespace dms::cli
