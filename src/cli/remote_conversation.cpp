#include "cli/remote_conversation.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "cli/saved_conversation.h"
#include "cli/text_table.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

/// Shows an answer as it comes, thoughts in the marks that models write around them.
class Display {
 public:
  explicit Display(const TextSink& sink) : sink_(sink) {}

  bool show(std::string_view piece, bool is_thought) {
    if (!first_) first_ = Clock::now();
    std::string text;
    if (is_thought != is_thinking_) text = is_thought ? "<think>" : "</think>";
    if (is_thinking_ && !is_thought && !piece.starts_with('\n')) text += '\n';
    is_thinking_ = is_thought;
    text += piece;
    return !sink_ || sink_(text);
  }
  /// Nothing has come; asks whether somebody has had enough.
  bool wait() const { return !sink_ || sink_(""); }

  bool has_begun() const { return first_.has_value(); }
  Clock::time_point first() const { return first_.value_or(Clock::now()); }

 private:
  const TextSink& sink_;
  std::optional<Clock::time_point> first_;
  bool is_thinking_ = false;
};

void require_messages_alone(const std::filesystem::path& path, const std::string& command) {
  if (holds_messages_alone(path)) return;
  throw InputError({.where = command,
                    .what = "the cache is the server's: messages alone can be kept here",
                    .got = path.string(),
                    .expected = "a name that ends in .json"});
}

Timings timings_of(const std::optional<client::ApiUsage>& usage,
                   Clock::duration until_first,
                   Clock::duration after_it) {
  if (!usage) return {};
  return {.prefill_s = seconds(until_first),
          .decode_s = seconds(after_it),
          .prefill_tokens = usage->prompt_tokens - usage->cached_tokens,
          .decode_tokens = std::max<int64_t>(usage->completion_tokens - 1, 0)};
}

}  // namespace

RemoteConversation::RemoteConversation(client::ApiClient client,
                                       OrderedJson fields,
                                       bool is_seeded,
                                       std::string system)
    : Conversation(system_message(std::move(system))),
      client_(std::move(client)),
      fields_(std::move(fields)),
      is_seeded_(is_seeded) {}

std::string RemoteConversation::body_of(const std::vector<ChatMessage>& messages,
                                        const SamplingParams& sampling) const {
  OrderedJson body = fields_;
  body["messages"] = messages_json(messages);
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  if (is_seeded_) body["seed"] = sampling.seed;
  return body.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

Conversation::Answer RemoteConversation::answer(const std::vector<ChatMessage>& messages,
                                                const SamplingParams& sampling,
                                                const TextSink& on_text,
                                                const Progress& progress) {
  const Clock::time_point begin = Clock::now();
  Display display(on_text);
  const client::AnswerReader reader{
      .on_text = [&](std::string_view piece,
                     bool is_thought) { return display.show(piece, is_thought); },
      .on_wait =
          [&] {
            if (display.has_begun()) return display.wait();
            if (progress) progress(0, 0);  // a caller who gave up meanwhile may throw
            return true;
          }};
  client::ApiAnswer said = client_.chat(body_of(messages, sampling), reader);
  usage_ = said.usage;
  was_cut_by_server_ = usage_ && usage_->completion_tokens < sampling.max_new_tokens;
  Generation out;
  out.text = std::move(said.text);
  out.finish_reason = std::move(said.finish_reason);
  if (out.finish_reason == "abort") out.error = "the server ended the answer early";
  out.timings = timings_of(usage_, display.first() - begin, Clock::now() - display.first());
  add(timings_, out.timings);
  const size_t first = std::min(out.text.find_first_not_of(" \n"), out.text.size());
  std::string message = out.text.substr(first);
  return {.generation = std::move(out), .message = std::move(message)};
}

void RemoteConversation::save(const std::filesystem::path& path) {
  require_messages_alone(path, "/save");
  write_messages(path, messages());
}

void RemoteConversation::load(const std::filesystem::path& path) {
  require_messages_alone(path, "/load");
  std::vector<ChatMessage> messages = read_messages(path);
  const int64_t beginning = messages_begin(messages);
  replace(std::move(messages), beginning, 0);
  usage_.reset();
}

std::string RemoteConversation::holdings() const {
  return fmt::format("with {} at {}", fields_.at("model").get<std::string>(), client_.url().text());
}

std::string RemoteConversation::memory() const {
  if (!usage_ || !usage_->dms) return "not told by the server";
  const client::ApiUsage::Cache& cache = *usage_->dms;
  const double ratio = cache.held_tokens > 0 ? static_cast<double>(cache.dense_tokens) /
                                                   static_cast<double>(cache.held_tokens)
                                             : 0;
  return fmt::format("{} of {} entries ({:.2f}x), {}; {} of {} prompt tokens were cached",
                     cache.held_tokens,
                     cache.dense_tokens,
                     ratio,
                     format_bytes(cache.bytes),
                     usage_->cached_tokens,
                     usage_->prompt_tokens);
}

std::string RemoteConversation::what_is_full() const {
  return was_cut_by_server_ ? "the server's context" : "";
}

}  // namespace dms::cli
