#include "client/api_client.h"

#include <limits>

#include "base/json.h"
#include "client/event_stream.h"
#include "client/http_exchange.h"
#include "dms/error.h"

namespace dms::client {
namespace {

constexpr int kOk = 200;
constexpr size_t kMostWhole = size_t{1} << 20;  // bytes of an answer that is no stream
constexpr size_t kMostText = size_t{64} << 20;
constexpr size_t kLongestQuote = 500;
constexpr int64_t kMostCount = std::numeric_limits<int64_t>::max();
constexpr JsonLimits kLimits{.depth = 32, .values = int64_t{1} << 16};
constexpr const char* kEnd = "[DONE]";

std::string shortened(std::string text) {
  if (text.size() > kLongestQuote) text.replace(kLongestQuote, std::string::npos, "...");
  return text;
}

/// {"error": {"message": "…"}}, {"error": "…"} or {"message": "…"}; empty where it is none of them.
std::string message_of(const Json& answer) {
  if (!answer.is_object()) return {};
  const auto error = answer.find("error");
  const Json& inner = error != answer.end() ? *error : answer;
  if (inner.is_string()) return inner.get<std::string>();
  if (!inner.is_object()) return {};
  const auto message = inner.find("message");
  return message != inner.end() && message->is_string() ? message->get<std::string>() : "";
}

/// Why a server refused, in its own words where it has some.
std::string refusal_of(const std::string& body) {
  try {
    if (std::string message = message_of(parse_json(body, "", kLimits)); !message.empty()) {
      return message;
    }
  } catch (const InputError&) {
    return body;
  }
  return body;
}

/// What is wrong with an answer is the server's fault, and none of who asked.
template <class Read>
auto read_answer(const ServerUrl& url, const Read& read) {
  try {
    return read();
  } catch (const InputError& error) {
    throw RunError({.where = url.text(),
                    .what = "the server does not answer as OpenAI's API",
                    .got = shortened(error.what())});
  }
}

std::optional<ApiUsage> usage_of(const JsonFields& chunk) {
  const Json* usage = chunk.find("usage");
  if (usage == nullptr) return std::nullopt;
  const JsonFields fields(*usage, "usage");
  ApiUsage out{.prompt_tokens = fields.integer_or("prompt_tokens", 0, 0, kMostCount),
               .completion_tokens = fields.integer_or("completion_tokens", 0, 0, kMostCount)};
  if (const Json* details = fields.find("prompt_tokens_details")) {
    const JsonFields inner(*details, "usage.prompt_tokens_details");
    out.cached_tokens = inner.integer_or("cached_tokens", 0, 0, out.prompt_tokens);
  }
  if (const Json* dms = fields.find("dms")) {
    const JsonFields inner(*dms, "usage.dms");
    out.dms = {.dense_tokens = inner.integer_or("dense_tokens", 0, 0, kMostCount),
               .held_tokens = inner.integer_or("held_tokens", 0, 0, kMostCount),
               .bytes = inner.integer_or("bytes", 0, 0, kMostCount)};
  }
  return out;
}

/// Puts an answer together from the events of its stream.
class Assembly {
 public:
  Assembly(const ServerUrl& url, const AnswerReader& reader) : url_(url), reader_(reader) {}

  /// False: there is no more to read, or to be read.
  bool push(std::string_view bytes) {
    return events_.push(bytes, [this](std::string_view data) { return take_event(data); });
  }

  bool is_whole() const { return has_end_ || !answer_.finish_reason.empty(); }
  bool had_enough() const { return had_enough_; }
  ApiAnswer take() { return std::move(answer_); }

 private:
  bool take_event(std::string_view data) {
    has_end_ = data == kEnd;
    if (has_end_) return false;
    read_answer(url_, [&] { take_chunk(parse_json(data, "an event", kLimits)); });
    return !had_enough_;
  }

  void take_chunk(const Json& json) {
    const JsonFields chunk(json, "a chunk");
    if (chunk.has("error") && !chunk.is_null("error")) {
      const std::string message = message_of(json);
      throw RunError(
          {.where = url_.text(), .what = shortened(message.empty() ? quote_json(json) : message)});
    }
    if (auto usage = usage_of(chunk)) answer_.usage = usage;
    const Json* choices = chunk.find("choices");
    if (choices == nullptr || !choices->is_array() || choices->empty()) return;
    const JsonFields choice(choices->front(), "a choice");
    if (const Json* delta = choice.find("delta")) {
      const JsonFields fields(*delta, "delta");
      show(fields.string_or("reasoning_content", ""), true);
      const std::string content = fields.string_or("content", "");
      answer_.text += content;
      show(content, false);
    }
    answer_.finish_reason = choice.string_or("finish_reason", answer_.finish_reason);
  }

  void show(const std::string& piece, bool is_thought) {
    bytes_ += piece.size();
    if (bytes_ > kMostText) {
      throw RunError({.where = url_.text(), .what = "the server's answer is too long"});
    }
    if (piece.empty() || had_enough_) return;
    had_enough_ = !reader_.on_text(piece, is_thought);
  }

  const ServerUrl& url_;
  const AnswerReader& reader_;
  EventStream events_;
  ApiAnswer answer_;
  size_t bytes_ = 0;
  bool has_end_ = false;
  bool had_enough_ = false;
};

[[noreturn]] void refuse_status(const ServerUrl& url, int status, const std::string& body) {
  constexpr int kUnauthorized = 401;
  throw RunError(
      {.where = url.text(),
       .what = "the server refuses: " + std::to_string(status) + " " + shortened(refusal_of(body)),
       .hint = status == kUnauthorized ? "give a key with --api-key or DMS_API_KEY" : ""});
}

void require_stream(const ServerUrl& url, const HttpHead& head) {
  if (head.status != kOk || head.content_type.starts_with("text/event-stream")) return;
  throw RunError({.where = url.text(),
                  .what = "the server does not answer as OpenAI's API",
                  .got = head.content_type.empty() ? "no content type" : head.content_type,
                  .expected = "text/event-stream"});
}

/// Keeps the beginning of a body that is read as a whole.
bool keep(std::string& whole, std::string_view bytes) {
  whole += bytes.substr(0, kMostWhole - whole.size());
  return whole.size() < kMostWhole;
}

}  // namespace

std::string ApiClient::first_model() const {
  HttpHead head;
  std::string body;
  exchange(url_,
           {.target = url_.target("/models"), .key = key_},
           patience_,
           {.on_head = [&](const HttpHead& given) { head = given; },
            .on_body = [&](std::string_view bytes) { return keep(body, bytes); },
            .on_wait = {}});
  if (head.status != kOk) refuse_status(url_, head.status, body);
  return read_answer(url_, [&] {
    const Json json = parse_json(body, "its list of models", kLimits);
    const Json* list = JsonFields(json, "its list of models").find("data");
    if (list == nullptr || !list->is_array() || list->empty()) {
      throw InputError({.where = "its list of models", .what = "names none"});
    }
    return JsonFields(list->front(), "its first model").string("id");
  });
}

ApiAnswer ApiClient::chat(const std::string& body, const AnswerReader& reader) const {
  HttpHead head;
  std::string refusal;
  bool had_enough = false;
  Assembly assembly(url_, reader);
  const auto take = [&](std::string_view bytes) {
    return head.status == kOk ? assembly.push(bytes) : keep(refusal, bytes);
  };
  const auto wait = [&] {
    had_enough = reader.on_wait && !reader.on_wait();
    return !had_enough;
  };
  exchange(
      url_,
      {.method = "POST", .target = url_.target("/chat/completions"), .key = key_, .body = body},
      patience_,
      {.on_head =
           [&](const HttpHead& given) {
             head = given;
             require_stream(url_, head);
           },
       .on_body = take,
       .on_wait = wait});
  if (had_enough || assembly.had_enough()) return assembly.take();
  if (head.status != kOk) refuse_status(url_, head.status, refusal);
  if (!assembly.is_whole()) {
    throw RunError({.where = url_.text(), .what = "the server broke off its answer"});
  }
  return assembly.take();
}

}  // namespace dms::client
