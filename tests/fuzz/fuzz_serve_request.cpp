// Input: a byte that says which endpoint the rest is the body of. Whatever the bytes are, the
// parser answers with a request inside of its limits or with an error that a client can be sent.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "serve/apis/messages_request.h"
#include "serve/apis/responses_request.h"
#include "serve/chat_request.h"
#include "serve/completion_request.h"
#include "serve/tokenize_request.h"

namespace {

using namespace dms::serve;

constexpr int64_t kVocab = 300;

void require(bool condition) {
  if (!condition) std::abort();
}

const ModelFacts& facts() {
  static const ModelFacts model = [] {
    ModelFacts out;
    out.names = {"demo"};
    out.vocab = kVocab;
    out.context = 64;
    return out;
  }();
  return model;
}

void check_ids(const std::vector<int32_t>& ids) {
  for (const int32_t id : ids) require(id >= 0 && id < kVocab);
}

void check_common(const GenerationRequest& request) {
  const RequestLimits& limits = facts().limits;
  const dms::SamplingParams& sampling = request.sampling;
  require(request.answers >= 1 && request.answers <= limits.answers);
  require(request.max_tokens.value_or(0) >= 0);
  require(sampling.temperature >= 0 && sampling.top_p >= 0 && sampling.top_p <= 1);
  require(sampling.stop.size() <= limits.stops && sampling.stop_ids.size() <= limits.stop_ids);
  require(sampling.logit_bias.size() <= limits.logit_biases);
  require(sampling.log_probabilities <= limits.log_probabilities);
  require(sampling.prompt_log_probabilities <= limits.log_probabilities);
  require(request.cache.policy != "forced" && request.cache.decisions_file.empty());
  check_ids(sampling.stop_ids);
  for (const auto& [id, bias] : sampling.logit_bias) require(bias >= -100 && bias <= 100);
}

/// A chat completion that was made of another API's body is read as any.
void check_translated(const ChatBody& chat) {
  try {
    check_common(read_chat_request(Fields(chat.json, ""), facts()).common);
  } catch (const ApiError& error) {
    throw chat.names.rename(error);
  }
}

void parse(unsigned endpoint, std::string_view body) {
  constexpr unsigned kEndpoints = 6;
  switch (endpoint % kEndpoints) {
    case 0: {
      const ChatCompletionRequest request = parse_chat_request(body, facts());
      check_common(request.common);
      require(!request.conversation.chat.messages.empty());
      break;
    }
    case 1: {
      const CompletionRequest request = parse_completion_request(body, facts());
      check_common(request.common);
      require(std::ssize(request.prompts) <= facts().limits.prompts);
      for (const Prompt& prompt : request.prompts) {
        if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) check_ids(*ids);
      }
      break;
    }
    case 2:
      parse_tokenize_request(body, facts());
      break;
    case 4:
      check_translated(
          read_responses_request(parse_body(body, facts().limits), facts().limits).chat);
      break;
    case 5:
      check_translated(read_messages_request(parse_body(body, facts().limits), facts().limits));
      break;
    default:
      check_ids(parse_detokenize_request(body, facts()));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  try {
    parse(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1});
  } catch (const ApiError& error) {
    require(error.status() == 400 || error.status() == 404);
    require(dms::Json::accept(json_text(error.body())));
  }
  return 0;
}
