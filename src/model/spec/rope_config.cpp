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
constexpr const char* kPartialFactor = "partial_rotary_factor";
constexpr double kMaxTheta = 1e12;
constexpr double kMaxFactor = 1e6;
constexpr double kMinBound = 1e-6;
constexpr int64_t kMinOriginal = 2;  // longrope divides by its logarithm
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
    ScalingName{"longrope", RopeScaling::longrope},
    ScalingName{"su", RopeScaling::longrope},  // Phi-3's first name of it
};

RopeScaling scaling_of(const JsonFields& fields) {
  const std::string name =
      fields.has("rope_type") ? fields.string("rope_type") : fields.string_or("type", "default");
  // Phi-3's second name of longrope: YaRN has no such factors.
  if (name == "yarn" && fields.has("long_factor")) return RopeScaling::longrope;
  const auto* it = std::ranges::find(kScalings, name, &ScalingName::name);
  if (it != kScalings.end()) return it->scaling;
  throw InputError({.where = fields.where() + ": rope_type",
                    .what = "unknown RoPE scaling",
                    .got = name,
                    .expected = "default, linear, dynamic, llama3, yarn or longrope"});
}

std::optional<double> optional_number(const JsonFields& fields, const char* key) {
  return fields.has(key) ? std::optional(fields.number(key, 0.0, kMaxFactor)) : std::nullopt;
}

/// The length before scaling. Beside the other sizes (as Phi-3 has it) it comes before the one
/// among the scaling's settings, as in transformers.
int64_t original_context(const JsonFields& config,
                         const JsonFields& fields,
                         const RopeKeys& keys,
                         int64_t context) {
  constexpr const char* kKey = "original_max_position_embeddings";
  const int64_t assumed = keys.default_original_context;
  if (config.has(kKey)) return config.integer(kKey, kMinOriginal, kMaxContext);
  return assumed > 0 ? assumed : fields.integer_or(kKey, context, kMinOriginal, kMaxContext);
}

/// A factor for each pair of channels that turns.
std::vector<float> pair_factors(const JsonFields& fields, const char* key, int64_t pairs) {
  const Json* list = fields.find(key);
  const std::string where = fields.where() + ": " + key;
  if (list == nullptr || !list->is_array() || std::ssize(*list) != pairs) {
    throw InputError({.where = where,
                      .what = list == nullptr ? "missing" : "bad value",
                      .got = list == nullptr ? "" : quote_json(*list),
                      .expected = "a list of " + std::to_string(pairs) + " numbers"});
  }
  std::vector<float> factors;
  for (const Json& item : *list) {
    const double factor = item.is_number() ? item.get<double>() : 0.0;
    if (!(factor >= kMinBound && factor <= kMaxFactor)) {
      throw InputError({.where = where,
                        .what = "bad value",
                        .got = quote_json(item),
                        .expected = "a number above 0"});
    }
    factors.push_back(static_cast<float>(factor));
  }
  return factors;
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

/// The factor of a scaling that may follow from the two lengths.
double derived_factor(const JsonFields& fields, const ModelSpec& spec, const RopeSpec& rope) {
  if (fields.has("factor")) return fields.number("factor", 1.0, kMaxFactor);
  return static_cast<double>(spec.context) / static_cast<double>(rope.original_context);
}

/// Needs rope.rotary_dim.
void read_scaling(const JsonFields& config,
                  const JsonFields& fields,
                  const RopeKeys& keys,
                  const ModelSpec& spec,
                  RopeSpec& rope) {
  rope.scaling = scaling_of(fields);
  if (rope.scaling == RopeScaling::none) return;
  // `dynamic` grows from max_position_embeddings, whatever else is stated.
  rope.original_context = rope.scaling == RopeScaling::dynamic
                              ? spec.context
                              : original_context(config, fields, keys, spec.context);
  const bool is_longrope = rope.scaling == RopeScaling::longrope;
  rope.factor = is_longrope || rope.scaling == RopeScaling::yarn
                    ? derived_factor(fields, spec, rope)
                    : fields.number("factor", 1.0, kMaxFactor);
  if (rope.scaling == RopeScaling::llama3) read_frequency_bounds(fields, rope);
  if (is_longrope) {
    rope.short_factors = pair_factors(fields, "short_factor", rope.rotary_dim / 2);
    rope.long_factors = pair_factors(fields, "long_factor", rope.rotary_dim / 2);
  }
  rope.beta_fast = fields.number_or("beta_fast", rope.beta_fast, kMinBound, kMaxFactor);
  rope.beta_slow = fields.number_or("beta_slow", rope.beta_slow, kMinBound, kMaxFactor);
  rope.truncate = fields.boolean_or("truncate", true);
  rope.attention_factor = optional_number(fields, "attention_factor");
  rope.mscale = optional_number(fields, "mscale");
  rope.mscale_all_dim = optional_number(fields, "mscale_all_dim");
}

/// max_position_embeddings is the length before scaling in some folders (Qwen2.5's guide, the 16K
/// Vicunas) and after it in others, which then state the original: the longer of the two readings
/// is what scaling was meant for. Llama 3 and Phi-3 were trained at the stated length: their
/// factors say no more than how far the waves are stretched.
int64_t scaled_context(const RopeSpec& rope, int64_t stated) {
  if (rope.scaling == RopeScaling::none || rope.scaling == RopeScaling::llama3 ||
      rope.scaling == RopeScaling::longrope) {
    return stated;
  }
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

int64_t rotary_channels(const std::string& where, double factor, int64_t head_dim) {
  const auto channels = static_cast<int64_t>(static_cast<double>(head_dim) * factor);
  if (channels < 2 || channels % 2 != 0) {
    throw InputError({.where = where,
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

/// Channels of a head that turn, by the factor in `fields`, else beside the sizes.
int64_t rotary_dim(const JsonFields& config,
                   const JsonFields& fields,
                   const RopeKeys& keys,
                   int64_t head_dim) {
  if (keys.partial_factor == nullptr) {
    return rotary_channels(config.where() + ": head_dim", 1.0, head_dim);
  }
  const double beside =
      config.number_or(keys.partial_factor, keys.default_partial_factor, 0.0, 1.0);
  const std::string where = fields.has(kPartialFactor)
                                ? fields.where() + ": " + kPartialFactor
                                : config.where() + ": " + keys.partial_factor;
  return rotary_channels(where, fields.number_or(kPartialFactor, beside, 0.0, 1.0), head_dim);
}

/// transformers has code for the factor in some families only: the same here, but said.
void note_ignored_factor(const JsonFields& fields, const RopeKeys& keys, ModelSpec& spec) {
  const Json* factor = fields.find(kPartialFactor);
  if (keys.partial_factor != nullptr || factor == nullptr || *factor == 1) return;
  add_note(spec,
           {.where = fields.where() + ": " + kPartialFactor,
            .what = "ignored as in transformers: in this family whole heads turn",
            .got = quote_json(*factor)});
}

/// One set of parameters, in `object`; null: there are none but beside the sizes.
RopeSpec read_set(const JsonFields& config,
                  const Json* object,
                  const std::string& where,
                  const RopeKeys& keys,
                  ModelSpec& spec) {
  const Json none = Json::object();
  const JsonFields fields(object == nullptr ? none : *object, where);
  refuse_nested(fields, object == nullptr ? none : *object);
  RopeSpec rope;
  const double beside = config.number_or(keys.theta, keys.default_theta, 1.0, kMaxTheta);
  rope.theta = fields.number_or("rope_theta", beside, 1.0, kMaxTheta);
  rope.rotary_dim = rotary_dim(config, fields, keys, spec.head_dim);
  note_ignored_factor(fields, keys, spec);
  read_scaling(config, fields, keys, spec, rope);
  return rope;
}

/// The form of transformers 5 has an object for each kind of layer in rope_parameters; before,
/// rope_local_base_freq was the base of layers with a sliding window, and rope_scaling was for the
/// others. max_position_embeddings is the length after scaling.
void read_rope_per_kind(const JsonFields& config, ModelSpec& spec, const RopeKeys& keys) {
  const std::string where = config.where() + ": " + std::string(kRopeParameters);
  const auto kind = [&](const char* name) {
    const Json* parameters = config.find(kRopeParameters);
    if (parameters == nullptr) return Json(Json::object());
    const Json* found = JsonFields(*parameters, where).find(name);
    return found == nullptr ? Json(Json::object()) : *found;
  };
  Json full = kind("full_attention");
  const Json local = kind("sliding_attention");
  if (const Json* scaling = config.find(kRopeScaling); scaling != nullptr && full.is_object()) {
    const JsonFields must_be_object(*scaling, config.where() + ": " + std::string(kRopeScaling));
    full.update(*scaling);
  }
  RopeKeys local_keys = keys;
  local_keys.theta = "rope_local_base_freq";
  local_keys.default_theta = keys.default_local_theta;
  spec.rope = read_set(config, &full, where + ": full_attention", keys, spec);
  spec.local_rope = read_set(config, &local, where + ": sliding_attention", local_keys, spec);
}

}  // namespace

void read_rope(const JsonFields& config, ModelSpec& spec, const RopeKeys& keys) {
  note_ignored_factor(config, keys, spec);
  if (keys.default_local_theta > 0.0) return read_rope_per_kind(config, spec, keys);
  const std::string_view key = rope_key(config);
  const std::string where = config.where() + ": " + std::string(key);
  spec.rope = read_set(config, config.find(key), where, keys, spec);
  if (key == kRopeScaling) note_dropped_theta(config, spec);
  spec.context = scaled_context(spec.rope, spec.context);
}

}  // namespace dms
