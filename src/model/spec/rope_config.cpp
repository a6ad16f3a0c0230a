#include "model/spec/rope_config.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "dms/error.h"
#include "model/spec/note.h"

namespace dms {
namespace {

constexpr std::string_view kRopeScaling = "rope_scaling";
constexpr std::string_view kRopeParameters = "rope_parameters";
constexpr double kMaxTheta = 1e12;
constexpr double kMaxFactor = 1e6;
constexpr double kMinBound = 1e-6;
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

/// The length before scaling. Beside the other sizes (as Phi-3 has it) it comes before the one
/// among the scaling's settings, as in transformers.
int64_t original_context(const JsonFields& config, const JsonFields& fields, int64_t context) {
  constexpr const char* kKey = "original_max_position_embeddings";
  return (config.has(kKey) ? config : fields).integer_or(kKey, context, 1, kMaxContext);
}

void read_frequency_bounds(const JsonFields& fields, RopeSpec& rope) {
  rope.low_freq_factor = fields.number("low_freq_factor", kMinBound, kMaxFactor);
  rope.high_freq_factor = fields.number("high_freq_factor", kMinBound, kMaxFactor);
  if (rope.high_freq_factor > rope.low_freq_factor) return;
  throw InputError({.where = fields.where() + ": high_freq_factor",
                    .what = "must be above low_freq_factor",
                    .got = Json(rope.high_freq_factor).dump(),
                    .expected = "more than " + Json(rope.low_freq_factor).dump()});
}

void read_scaling(const JsonFields& config,
                  const JsonFields& fields,
                  const ModelSpec& spec,
                  RopeSpec& rope) {
  rope.scaling = scaling_of(fields);
  if (rope.scaling == RopeScaling::none) return;
  // `dynamic` grows from max_position_embeddings, whatever else is stated.
  rope.original_context = rope.scaling == RopeScaling::dynamic
                              ? spec.context
                              : original_context(config, fields, spec.context);
  if (rope.scaling == RopeScaling::yarn && !fields.has("factor")) {
    rope.factor = static_cast<double>(spec.context) / static_cast<double>(rope.original_context);
  } else {
    rope.factor = fields.number("factor", 1.0, kMaxFactor);
  }
  if (rope.scaling == RopeScaling::llama3) read_frequency_bounds(fields, rope);
  rope.beta_fast = fields.number_or("beta_fast", rope.beta_fast, kMinBound, kMaxFactor);
  rope.beta_slow = fields.number_or("beta_slow", rope.beta_slow, kMinBound, kMaxFactor);
  rope.truncate = fields.boolean_or("truncate", true);
  rope.attention_factor = optional_number(fields, "attention_factor");
  rope.mscale = optional_number(fields, "mscale");
  rope.mscale_all_dim = optional_number(fields, "mscale_all_dim");
}

/// max_position_embeddings is the length before scaling in some folders (Qwen2.5's guide, the 16K
/// Vicunas) and after it in others, which then state the original: the longer of the two readings
/// is what scaling was meant for. Llama 3 was trained at the stated length: its factor says no more
/// than how far the waves are stretched.
int64_t scaled_context(const RopeSpec& rope, int64_t stated) {
  if (rope.scaling == RopeScaling::none || rope.scaling == RopeScaling::llama3) return stated;
  const double scaled = static_cast<double>(rope.original_context) * rope.factor;
  return std::max(stated, static_cast<int64_t>(std::min(scaled, static_cast<double>(kMaxContext))));
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

/// The object that counts. transformers 5 writes rope_parameters, guides say to add rope_scaling:
/// where it is there and not empty it replaces the other with all it says.
std::string_view rope_key(const JsonFields& config) {
  const Json* scaling = config.find(kRopeScaling);
  const bool has_scaling = scaling != nullptr && !scaling->empty();
  return has_scaling || !config.has(kRopeParameters) ? kRopeScaling : kRopeParameters;
}

/// transformers drops rope_parameters' base with the rest of it: the same here, but said.
void note_dropped_theta(const JsonFields& config, ModelSpec& spec) {
  const Json* dropped = config.find(kRopeParameters);
  if (dropped == nullptr || !dropped->is_object()) return;
  const auto theta = dropped->find("rope_theta");
  if (theta == dropped->end() || !theta->is_number() || *theta == spec.rope.theta) return;
  add_note(spec,
           {.where = config.where() + ": " + std::string(kRopeScaling),
            .what = "replaces rope_parameters, rope_theta included, as in transformers",
            .got = "rope_theta " + Json(spec.rope.theta).dump() + " instead of " + theta->dump(),
            .hint = "state rope_theta in rope_scaling"});
}

}  // namespace

void read_rope(const JsonFields& config, ModelSpec& spec) {
  RopeSpec& rope = spec.rope;
  rope.theta = config.number_or("rope_theta", rope.theta, 1.0, kMaxTheta);
  double factor = config.number_or("partial_rotary_factor", 1.0, 0.0, 1.0);
  const std::string_view key = rope_key(config);
  if (const Json* object = config.find(key)) {
    const JsonFields fields(*object, config.where() + ": " + std::string(key));
    refuse_nested(fields, *object);
    rope.theta = fields.number_or("rope_theta", rope.theta, 1.0, kMaxTheta);
    factor = fields.number_or("partial_rotary_factor", factor, 0.0, 1.0);
    read_scaling(config, fields, spec, rope);
  }
  if (key == kRopeScaling) note_dropped_theta(config, spec);
  rope.rotary_dim = rotary_channels(config, factor, spec.head_dim);
  spec.context = scaled_context(rope, spec.context);
}

}  // namespace dms
