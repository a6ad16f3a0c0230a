#include "train/export/dms_keys.h"

#include <cmath>

#include "dms/error.h"

namespace dms::train {
namespace {

constexpr int64_t kBlockTokens = 256;  // NVIDIA's paged attention; nothing here depends on it
constexpr double kExactIntegers = 0x1p53;

/// 8 rather than 8.0 where a number is whole: their dms_cr is an integer.
Json plain_number(double value) {
  const bool is_whole = std::trunc(value) == value && std::abs(value) < kExactIntegers;
  return is_whole ? Json(static_cast<int64_t>(value)) : Json(value);
}

}  // namespace

bool has_fastdms_form(const DmsSpec& dms) {
  return dms.source == DmsSource::neuron && !dms.zero_after_rope;
}

void remove_dms_keys(Json& config) {
  for (const char* key : {"dms_alpha_bias",
                          "dms_alpha_per",
                          "dms_alpha_scale",
                          "dms_cr",
                          "dms_decision_shift",
                          "dms_disable_eviction",
                          "dms_initial_alpha_offset",
                          "dms_n_sink",
                          "dms_paged_attention_block_size",
                          "dms_separate_alpha",
                          "dms_tau",
                          "dms_window_size"}) {
    config.erase(key);
  }
}

void add_dms_keys(const DmsSpec& dms, double tau, Json& config) {
  config["dms_alpha_scale"] = dms.alpha_scale;
  config["dms_initial_alpha_offset"] = dms.alpha_offset;
  config["dms_window_size"] = dms.window;
  config["dms_alpha_per"] = dms.per_layer ? "layer" : "head";
  config["dms_separate_alpha"] = dms.source == DmsSource::adapter;
  config["dms_disable_eviction"] = dms.disable_eviction;
  config["dms_tau"] = tau;
  config["dms_paged_attention_block_size"] = kBlockTokens;
  if (dms.target_cr > 0) config["dms_cr"] = plain_number(dms.target_cr);
  if (dms.alpha_bias) config["dms_alpha_bias"] = true;
  if (dms.sinks > 0) config["dms_n_sink"] = dms.sinks;
  if (dms.decision_shift != 1) config["dms_decision_shift"] = dms.decision_shift;
}

Json fastdms_metadata(const DmsSpec& dms) {
  if (dms.per_layer || dms.disable_eviction) {
    throw InputError({.where = dms.per_layer ? "dms.alpha_per" : "dms.disable_eviction",
                      .what = "cannot be written in FastDMS's form",
                      .got = dms.per_layer ? "layer" : "true",
                      .expected = dms.per_layer ? "head" : "false",
                      .hint = "zero the borrowed channel after RoPE too (zero_after_rope: true)"});
  }
  Json metadata{{"window_size", dms.window},
                {"alpha_scale", dms.alpha_scale},
                {"alpha_offset", dms.alpha_offset}};
  if (dms.target_cr > 0) metadata["target_cr"] = plain_number(dms.target_cr);
  return metadata;
}

}  // namespace dms::train
