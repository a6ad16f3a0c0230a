#include "model/spec/quantisation.h"

#include <array>
#include <string>
#include <string_view>

#include "dms/error.h"

namespace dms {
namespace {

constexpr const char* kHint = "take the model it was made from, and give --weights int4 or int8";

InputError unsupported(const std::string& where, const Json& got, const std::string& expected) {
  return InputError({.where = where,
                     .what = "quantised weights of this kind are not supported",
                     .got = quote_json(got),
                     .expected = expected,
                     .hint = kHint});
}

/// `fields[key]` must be absent, or one of `allowed`.
template <size_t N>
void require(const JsonFields& fields, const char* key, const std::array<Json, N>& allowed) {
  const Json* value = fields.find(key);
  if (value == nullptr) return;
  std::string expected;
  for (const Json& one : allowed) {
    if (*value == one) return;
    expected += (expected.empty() ? "" : " or ") + one.dump();
  }
  throw unsupported(fields.where() + "." + key, *value, expected);
}

void require_absent(const JsonFields& fields, const char* key) {
  const Json* value = fields.find(key);
  if (value == nullptr || value->empty()) return;
  throw unsupported(fields.where() + "." + key, *value, "none");
}

const Json& object_of(const JsonFields& fields, const char* key) {
  const Json* value = fields.find(key);
  if (value != nullptr && value->is_object()) return *value;
  throw InputError({.where = fields.where() + "." + key,
                    .what = value == nullptr ? "missing" : "wrong type",
                    .got = value == nullptr ? "" : quote_json(*value),
                    .expected = "an object"});
}

/// Bits, groups and zero points follow from the tensors; what the codes mean does not.
void check_compressed_tensors(const JsonFields& settings) {
  require(settings,
          "format",
          std::array<Json, 3>{"pack-quantized", "int-quantized", "mixed-precision"});
  require_absent(settings, "transform_config");
  if (const Json* sparsity = settings.find("sparsity_config"); sparsity && !sparsity->empty()) {
    require(JsonFields(*sparsity, settings.where() + ".sparsity_config"),
            "format",
            std::array<Json, 1>{"dense"});
  }
  const Json& groups = object_of(settings, "config_groups");
  const std::string where = settings.where() + ".config_groups";
  for (const auto& [name, value] : groups.items()) {
    const JsonFields group(value, where + "." + name);
    require(group, "format", std::array<Json, 2>{"pack-quantized", "int-quantized"});
    const JsonFields weights(object_of(group, "weights"), group.where() + ".weights");
    require(weights, "type", std::array<Json, 1>{"int"});
    require(weights, "num_bits", std::array<Json, 2>{4, 8});
    require(weights, "strategy", std::array<Json, 2>{"group", "channel"});
    require(weights, "actorder", std::array<Json, 4>{nullptr, false, "weight", "static"});
  }
}

Quantisation check_gptq(const JsonFields& settings) {
  require(settings, "bits", std::array<Json, 2>{4, 8});
  require(settings, "checkpoint_format", std::array<Json, 2>{"gptq", "gptq_v2"});
  require(settings, "is_marlin_format", std::array<Json, 1>{false});
  return {.method = QuantMethod::gptq,
          .zero_less_one = settings.string_or("checkpoint_format", "gptq") == "gptq"};
}

Quantisation check_awq(const JsonFields& settings) {
  require(settings, "bits", std::array<Json, 1>{4});
  require(settings, "version", std::array<Json, 2>{"gemm", "GEMM"});
  return {.method = QuantMethod::awq};
}

}  // namespace

std::optional<Quantisation> read_quantisation(const JsonFields& config) {
  const Json* value = config.find("quantization_config");
  if (value == nullptr || value->empty()) return std::nullopt;
  const std::string where = config.where() + ": quantization_config";
  const bool has_method = value->is_object() && value->contains("quant_method");
  const Json method = has_method ? (*value)["quant_method"] : Json();
  if (method == "compressed-tensors") {
    check_compressed_tensors(JsonFields(*value, where));
    return Quantisation{.method = QuantMethod::compressed_tensors};
  }
  if (method == "gptq") return check_gptq(JsonFields(*value, where));
  if (method == "awq") return check_awq(JsonFields(*value, where));
  throw InputError(
      {.where = where,
       .what = "quantised weights of this kind are not supported",
       .got = has_method ? "quant_method " + quote_json(method) : quote_json(*value),
       .expected = "quant_method compressed-tensors, gptq or awq, or weights in F32, F16 or BF16",
       .hint = kHint});
}

}  // namespace dms
