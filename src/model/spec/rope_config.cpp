#include "model/spec/rope_config.h"

#include <algorithm>
#include <array>
#include <string>

#include "dms/error.h"

namespace dms {
namespace {

constexpr double kMaxTheta = 1e12;
constexpr double kMaxFactor = 1e6;
constexpr int64_t kMaxContext = int64_t{1} << 30;

struct ScalingName {
  std::string_view name;
  RopeScaling scaling;
};

constexpr std::array kScalings{
    ScalingName{"default", RopeScaling::none},
    ScalingName{"linear", RopeScaling::linear},
    ScalingName{"dynamic", RopeScaling::dynamic},
    ScalingName{"llama3", RopeScaling::llama3},
    ScalingName{"yarn", RopeScaling::yarn},
};

RopeScaling scaling_of(const JsonFields& fields) {
  const std::string name =
      fields.has("rope_type") ? fields.string("rope_type") : fields.string_or("type", "default");
  const auto* it = std::ranges::find(kScalings, name, &ScalingName::name);
  if (it != kScalings.end()) return it->scaling;
  throw InputError({.where = fields.where() + ": rope_type",
                    .what = "unknown RoPE scaling",
                    .got = name,
                    .expected = "default, linear, dynamic, llama3 or yarn"});
}

std::optional<double> optional_number(const JsonFields& fields, const char* key) {
  return fields.has(key) ? std::optional(fields.number(key, 0.0, kMaxFactor)) : std::nullopt;
}

void read_scaling(const JsonFields& fields, const ModelSpec& spec, RopeSpec& rope) {
  rope.scaling = scaling_of(fields);
  if (rope.scaling == RopeScaling::none) return;
  const int64_t original =
      fields.integer_or("original_max_position_embeddings", spec.context, 1, kMaxContext);
  rope.original_context = rope.scaling == RopeScaling::dynamic ? spec.context : original;
  if (rope.scaling == RopeScaling::yarn && !fields.has("factor")) {
    rope.factor = static_cast<double>(spec.context) / static_cast<double>(original);
  } else {
    rope.factor = fields.number("factor", 1.0, kMaxFactor);
  }
  if (rope.scaling == RopeScaling::llama3) {
    rope.low_freq_factor = fields.number("low_freq_factor", 1e-6, kMaxFactor);
    rope.high_freq_factor = fields.number("high_freq_factor", 1e-6, kMaxFactor);
    if (rope.high_freq_factor <= rope.low_freq_factor) {
      throw InputError({.where = fields.where() + ": high_freq_factor",
                        .what = "must be above low_freq_factor",
                        .got = std::to_string(rope.high_freq_factor),
                        .expected = "more than " + std::to_string(rope.low_freq_factor)});
    }
  }
  rope.beta_fast = fields.number_or("beta_fast", rope.beta_fast, 1e-6, kMaxFactor);
  rope.beta_slow = fields.number_or("beta_slow", rope.beta_slow, 1e-6, kMaxFactor);
  rope.truncate = fields.boolean_or("truncate", true);
  rope.attention_factor = optional_number(fields, "attention_factor");
  rope.mscale = optional_number(fields, "mscale");
  rope.mscale_all_dim = optional_number(fields, "mscale_all_dim");
}

/// Kinds of layers that turn differently have one object each in transformers 5.
void refuse_nested(const JsonFields& fields, const Json& object) {
  for (const auto& [name, value] : object.items()) {
    if (!value.is_object()) continue;
    throw InputError({.where = fields.where() + ": " + name,
                      .what = "RoPE that differs between kinds of layers is not supported",
                      .got = "an object",
                      .expected = "one set of parameters for all layers"});
  }
}

int64_t rotary_channels(const JsonFields& fields, double factor, int64_t head_dim) {
  const auto channels = static_cast<int64_t>(static_cast<double>(head_dim) * factor);
  if (channels < 2 || channels % 2 != 0) {
    throw InputError({.where = fields.where() + ": partial_rotary_factor",
                      .what = "rotary positions need pairs of channels",
                      .got = std::to_string(channels) + " channels of " + std::to_string(head_dim),
                      .expected = "an even number, at least 2"});
  }
  return channels;
}

}  // namespace

void read_rope(const JsonFields& config, ModelSpec& spec) {
  RopeSpec& rope = spec.rope;
  rope.theta = config.number_or("rope_theta", rope.theta, 1.0, kMaxTheta);
  double factor = config.number_or("partial_rotary_factor", 1.0, 0.0, 1.0);
  const char* key = config.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (const Json* object = config.find(key)) {
    const JsonFields fields(*object, config.where() + ": " + key);
    refuse_nested(fields, *object);
    rope.theta = fields.number_or("rope_theta", rope.theta, 1.0, kMaxTheta);
    factor = fields.number_or("partial_rotary_factor", factor, 0.0, 1.0);
    read_scaling(fields, spec, rope);
  }
  rope.rotary_dim = rotary_channels(config, factor, spec.head_dim);
  if (rope.scaling == RopeScaling::dynamic) {
    const double context =
        std::min(static_cast<double>(spec.context) * rope.factor, static_cast<double>(kMaxContext));
    spec.context = static_cast<int64_t>(context);
  }
}

}  // namespace dms
