#include "train/estimate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "model/spec/load.h"
#include "train/ownership.h"
#include "train/patterns.h"
#include "train/student_source.h"

namespace dms::train {
namespace {

constexpr int64_t kWide = 4;  // bytes of float32

/// What a layer keeps of a token for its backward, in elements of the compute type and in bytes of
/// float32: inputs of norms and products, rotated queries and keys, the attention's output twice
/// (as it is and with heads side by side), gate, up and their product; for an adapter its normed
/// float32 input.
int64_t layer_bytes_per_token(const ModelSpec& spec, bool soft, int64_t compute_bytes) {
  const int64_t q = spec.q_heads * spec.head_dim;
  const int64_t kv = spec.kv_heads * spec.head_dim;
  const int64_t norms = spec.qk_norm ? q + kv : 0;
  const int64_t mlp = spec.gated_mlp ? 3 * spec.ffn : 2 * spec.ffn;
  const int64_t kept = 4 * spec.hidden + 3 * q + 2 * kv + norms + mlp;
  const bool adapter = soft && spec.dms && spec.dms->source == DmsSource::adapter;
  const int64_t wide =
      spec.q_heads + (adapter ? 2 * spec.hidden : 0) + (soft ? 4 * spec.kv_heads : 0);
  return kept * compute_bytes + wide * kWide;
}

/// Products of one token's forward pass, 2 per multiply-add; attention over half the context.
double forward_flop(const ModelSpec& spec, int64_t tokens) {
  double matrices = 0.0;
  for (const WeightName& weight : weight_names(spec)) {
    if (weight.layer >= 0 && weight.shape.size() == 2) {
      matrices += static_cast<double>(element_count(weight));
    }
  }
  matrices += static_cast<double>(spec.vocab * spec.hidden);
  const double attention = 2.0 * static_cast<double>(spec.q_heads * spec.head_dim) *
                           static_cast<double>(tokens) / 2.0 * static_cast<double>(spec.layers);
  return 2.0 * (matrices + attention);
}

/// Values of the weights of the rank that has most.
int64_t most_owned(const std::vector<int64_t>& values, int64_t ranks) {
  const std::vector<int64_t> owners = share_out(values, ranks);
  std::vector<int64_t> owned(static_cast<size_t>(ranks), 0);
  for (size_t i = 0; i < values.size(); ++i) owned[static_cast<size_t>(owners[i])] += values[i];
  return std::ranges::max(owned);
}

std::string bytes_text(int64_t bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024.0 && unit < 4; ++unit) value /= 1024.0;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.2f %s", value, units[unit]);
  return text;
}

}  // namespace

Estimate estimate(const TrainConfig& config, int64_t ranks) {
  const ModelSpec spec = student_spec(config);
  const bool is_lm = config.objective == Objective::lm;
  const int64_t teacher_bytes = computes_in_bf16(config, config.model.teacher_dtype) ? 2 : kWide;
  const int64_t compute_bytes = computes_in_bf16(config, config.model.dtype) ? 2 : kWide;
  const std::vector<std::string> patterns = trained_patterns(config);
  Estimate e;
  bool trains_base = false;
  std::vector<int64_t> trained_values;
  for (const WeightName& weight : weight_names(spec)) {
    const int64_t count = element_count(weight);
    const int64_t bytes = is_adapter(weight.role) ? kWide : compute_bytes;
    e.parameters += count;
    e.weight_bytes += count * bytes;
    if (!is_trained(weight, patterns)) continue;
    e.trained += count;
    e.gradient_bytes += count * bytes;
    trained_values.push_back(count);
    trains_base |= !is_adapter(weight.role);
  }
  e.teacher_bytes = needs_own_teacher(config, spec) ? e.parameters * teacher_bytes : 0;
  e.optimizer_bytes = 4 * most_owned(trained_values, ranks) * kWide;
  e.checkpoint_bytes = 3 * e.trained * kWide;
  const int64_t tokens = config.trainer.batch_size * config.data.max_length;
  const int64_t per_layer = layer_bytes_per_token(spec, !is_lm, compute_bytes);
  const bool recomputes = config.trainer.gradient_checkpointing;
  e.activation_bytes = tokens * (recomputes ? spec.layers * spec.hidden * compute_bytes + per_layer
                                            : spec.layers * per_layer);
  const int64_t block = tokens * std::min(config.data.process_vocab_using_chunk, spec.vocab);
  e.logits_bytes = block * (is_lm ? kWide + compute_bytes : 5 * kWide + 2 * compute_bytes);
  e.total_bytes = e.weight_bytes + e.teacher_bytes + e.gradient_bytes + e.activation_bytes +
                  e.logits_bytes + (config.trainer.offload_optimizer ? 0 : e.optimizer_bytes);
  e.tokens_per_step = tokens * config.trainer.accumulation_steps * ranks;
  const double passes =
      1.0 + (trains_base || is_lm ? 2.0 : 1.0) + (recomputes ? 1.0 : 0.0) + (is_lm ? 0.0 : 1.0);
  e.flop_per_step =
      passes * forward_flop(spec, config.data.max_length) * static_cast<double>(e.tokens_per_step);
  return e;
}

std::string describe(const Estimate& e, const TrainConfig& config) {
  std::string text;
  const auto line = [&](const char* name, const std::string& value) {
    char row[160];
    std::snprintf(row, sizeof row, "%-26s %s\n", name, value.c_str());
    text += row;
  };
  const auto steps = static_cast<double>(config.trainer.max_steps);
  line("parameters", std::to_string(e.parameters) + ", trained " + std::to_string(e.trained));
  line("weights", bytes_text(e.weight_bytes));
  if (e.teacher_bytes > 0) line("teacher", bytes_text(e.teacher_bytes));
  line("gradients", bytes_text(e.gradient_bytes));
  line("sums, masters, moments",
       bytes_text(e.optimizer_bytes) + " on each rank" +
           (config.trainer.offload_optimizer ? ", in host memory" : ""));
  line("activations", bytes_text(e.activation_bytes));
  line("logits", bytes_text(e.logits_bytes));
  line("memory in all", bytes_text(e.total_bytes) + " on each rank");
  line("checkpoint", bytes_text(e.checkpoint_bytes) + " on disk, each");
  line("tokens",
       std::to_string(e.tokens_per_step) + " a step, " +
           std::to_string(e.tokens_per_step * config.trainer.max_steps) + " in all");
  char work[120];
  std::snprintf(work,
                sizeof work,
                "%.3g TFLOP a step, %.3g PFLOP in all: %.3g h at 100 TFLOP/s",
                e.flop_per_step / 1e12,
                e.flop_per_step * steps / 1e15,
                e.flop_per_step * steps / 100e12 / 3600.0);
  line("work", work);
  return text;
}

}  // namespace dms::train
