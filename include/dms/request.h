#pragma once
// One prompt to continue, what happens to it on the way, and what comes of it.

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "dms/cache.h"
#include "dms/document.h"
#include "dms/sampling.h"

namespace dms {

/// Names a request for as long as its engine lives.
using RequestId = uint64_t;

struct Timings {
  double prefill_s = 0;    // of the passes that computed prompt tokens
  double decode_s = 0;     // of those that computed generated ones
  double attention_s = 0;  // part of both spent in attention kernels
  int64_t prefill_tokens = 0;
  int64_t decode_tokens = 0;
  double prefill_tok_s() const {
    return prefill_s > 0 ? static_cast<double>(prefill_tokens) / prefill_s : 0;
  }
  double decode_tok_s() const {
    return decode_s > 0 ? static_cast<double>(decode_tokens) / decode_s : 0;
  }
};

/// A token and the natural logarithm of its probability under the model's own logits (before
/// penalties and temperature).
struct TokenProbability {
  int32_t id = 0;
  float log_probability = 0;
};

/// What SamplingParams::log_probabilities asks for, for one generated token.
struct TokenChoice {
  TokenProbability chosen;
  std::vector<TokenProbability> likeliest{};  // in falling order
};

struct Generation {
  std::string text;
  std::vector<int32_t> ids;
  // "stop" (an end token, stop text or stop id), "length" (max_new_tokens or the context),
  // "cancelled", "deadline", "error"
  std::string finish_reason;
  std::string error{};                 // why, where finish_reason is "error": one line
  bool is_short_of_memory = false;     // that was a want of KV memory: later there may be some
  std::vector<TokenChoice> choices{};  // one for each of ids, where asked for
  // One for each prompt token but the first, where asked for.
  std::vector<TokenChoice> prompt_choices{};
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of prompt_tokens, taken from an earlier request's cache
  // Guessed ahead (SamplingParams::speculate), and those that the answer then really had.
  int64_t drafted_tokens = 0;
  int64_t accepted_tokens = 0;
  Timings timings;
  KvStats kv;
  // Where Request::keeps_document asks for it: prompt and answer, but for the answer's last token.
  // Nothing where an error, or an end within the prompt, left no whole cache.
  std::optional<Document> document{};
};

/// More of the prompt has been computed, or of what its sequence had lost before (a long rollback,
/// the border of a dynamic RoPE, also in the midst of an answer): both are counted.
struct PromptProgress {
  int64_t done = 0;
  int64_t total = 0;
};

/// A token was generated.
struct TokenEvent {
  int64_t answer = 0;  // which of Request::answers
  int32_t id = 0;
  std::string text;    // what became whole and certain with it; often empty
  TokenChoice choice;  // where asked for
};

/// The last event of every answer: done, cancelled or failed. A request that ends before its prompt
/// is computed has one for each of its answers too.
struct FinishedEvent {
  int64_t answer = 0;
  std::string text;  // what was still held back
  Generation result;
};

/// What an answer's cache holds, where Request::report_tokens asks for it.
struct MemoryEvent {
  int64_t answer = 0;
  MemoryReport report;
};

using Event = std::variant<PromptProgress, TokenEvent, FinishedEvent, MemoryEvent>;

/// Called on the engine's thread. What it throws ends its request, and no other, as an error.
using EventSink = std::function<void(const Event&)>;

struct Request {
  std::vector<int32_t> prompt;
  SamplingParams sampling{};
  CacheOptions cache{};
  // The prompt goes on from it as far as its first tokens are the document's: where they are all of
  // them, or all but a few that can be taken back at once. Else, and where log-probabilities of the
  // prompt are wanted, it is computed whole. `cache` is the document's.
  std::optional<Document> document{};
  bool keeps_document = false;  // the first answer's, in its Generation
  int64_t priority = 0;         // the higher first
  // So many answers to the one prompt, whose cache they share. Answer i is sampled as one request
  // with the seed sampling.seed + i.
  int64_t answers = 1;
  // What has not ended by then ends as "deadline".
  std::optional<std::chrono::steady_clock::time_point> deadline{};
  // A MemoryEvent after every piece of the prompt, after so many generated tokens each time, and
  // before the FinishedEvent. It costs time with what is held. 0: none.
  int64_t report_tokens = 0;
  EventSink sink{};  // may be empty
};

}  // namespace dms
