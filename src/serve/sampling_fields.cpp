#include "serve/sampling_fields.h"

#include <charconv>
#include <limits>
#include <optional>
#include <string>

namespace dms::serve {
namespace {

constexpr double kUnbounded = std::numeric_limits<double>::max();
constexpr int64_t kMostInteger = std::numeric_limits<int64_t>::max();

template <class T>
void set(std::optional<T> value, T& target) {
  if (value) target = *value;
}

void read_choice(const Fields& body, const ModelFacts& model, SamplingParams& out) {
  const SamplingParams& recommended = model.sampling;
  out.temperature = recommended.temperature > 0 ? recommended.temperature : 1.0;
  out.top_k = recommended.top_k;
  out.top_p = recommended.top_p;
  out.min_p = recommended.min_p;
  out.repetition_penalty = recommended.repetition_penalty;
  out.speculate = recommended.speculate;
  set(body.number("temperature", 0, kUnbounded), out.temperature);
  set(body.number("top_p", 0, 1), out.top_p);
  set(body.number("min_p", 0, 1), out.min_p);
  set(body.integer("top_k", -1, kMostInteger), out.top_k);
  if (out.top_k < 0) out.top_k = 0;  // both mean all
  set(body.number("repetition_penalty", std::numeric_limits<double>::min(), kUnbounded),
      out.repetition_penalty);
  set(body.number("presence_penalty", -kUnbounded, kUnbounded), out.presence_penalty);
  set(body.number("frequency_penalty", -kUnbounded, kUnbounded), out.frequency_penalty);
}

void add_stop(const Fields& body,
              const OrderedJson& value,
              const RequestLimits& limits,
              SamplingParams& out) {
  if (!value.is_string()) body.refuse("stop", value, "a string or an array of strings");
  const auto& text = value.get_ref<const std::string&>();
  if (text.empty() || text.size() > limits.stop_bytes) {
    body.refuse("stop", value, "1 to " + std::to_string(limits.stop_bytes) + " bytes each");
  }
  out.stop.push_back(text);
}

void read_ends(const Fields& body, const ModelFacts& model, SamplingParams& out) {
  const RequestLimits& limits = model.limits;
  if (const OrderedJson* stop = body.find("stop")) {
    if (stop->is_array()) {
      if (stop->size() > limits.stops) {
        body.refuse("stop", *stop, "at most " + std::to_string(limits.stops) + " texts");
      }
      for (const OrderedJson& item : *stop) add_stop(body, item, limits, out);
    } else {
      add_stop(body, *stop, limits, out);
    }
  }
  if (const OrderedJson* ids = body.array("stop_token_ids")) {
    if (ids->size() > limits.stop_ids) {
      body.refuse("stop_token_ids", *ids, "at most " + std::to_string(limits.stop_ids));
    }
    for (const OrderedJson& item : *ids) {
      const std::optional<int64_t> id = integer_of(item, 0, model.vocab - 1);
      if (!id) body.refuse("stop_token_ids", item, "ids of the model's tokens");
      out.stop_ids.push_back(static_cast<int32_t>(*id));
    }
  }
  set(body.boolean("ignore_eos"), out.ignore_eos);
}

/// JSON has texts for keys: {"15043": -100}.
void read_logit_bias(const Fields& body, const ModelFacts& model, SamplingParams& out) {
  constexpr double kMost = 100;
  const OrderedJson* biases = body.object("logit_bias");
  if (biases == nullptr) return;
  if (biases->size() > model.limits.logit_biases) {
    body.refuse(
        "logit_bias", *biases, "at most " + std::to_string(model.limits.logit_biases) + " tokens");
  }
  const Fields fields(*biases, "logit_bias");
  for (const auto& [key, value] : biases->items()) {
    int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    const bool is_id = error == std::errc() && end == key.data() + key.size();
    if (!is_id || id < 0 || id >= model.vocab) {
      body.refuse("logit_bias", key, "ids of the model's tokens as keys");
    }
    if (value.is_null()) fields.refuse(key, value, "a number, -100 to 100");
    out.logit_bias[id] = *fields.number(key, -kMost, kMost);
  }
}

}  // namespace

SamplingParams read_sampling(const Fields& body, const ModelFacts& model) {
  SamplingParams out;
  read_choice(body, model, out);
  read_ends(body, model, out);
  read_logit_bias(body, model, out);
  // Any 64 bits are a seed; OpenAI's are signed.
  if (const OrderedJson* seed = body.find("seed")) {
    if (!seed->is_number_integer()) body.refuse("seed", *seed, "an integer");
    out.seed = seed->is_number_unsigned() ? seed->get<uint64_t>()
                                          : static_cast<uint64_t>(seed->get<int64_t>());
  }
  return out;
}

}  // namespace dms::serve
