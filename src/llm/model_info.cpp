#include "llm/model_info.h"

#include "base/dtype.h"
#include "cpu/options.h"
#include "model/spec/load.h"

namespace dms::llm {
namespace {

/// transformers leaves temperature, top_k, top_p and min_p aside where it does not sample.
SamplingParams recommended_sampling(const GenerationConfig& config) {
  SamplingParams params{.repetition_penalty = config.repetition_penalty};
  if (!config.do_sample) return params;
  params.temperature = config.temperature;
  params.top_k = config.top_k;
  params.top_p = config.top_p;
  params.min_p = config.min_p;
  return params;
}

}  // namespace

ModelInfo make_model_info(const ModelSpec& spec, const GenerationConfig& generation) {
  ModelInfo info{.model_type = spec.model_type,
                 .parameters = parameter_count(spec),
                 .layers = spec.layers,
                 .hidden = spec.hidden,
                 .q_heads = spec.q_heads,
                 .kv_heads = spec.kv_heads,
                 .head_dim = spec.head_dim,
                 .ffn = spec.ffn,
                 .vocab = spec.vocab,
                 .context = spec.context,
                 .kv_bytes_per_token =
                     2 * spec.layers * spec.kv_heads * spec.head_dim * dtype_bytes(DType::bf16),
                 .tied_head = spec.tied_head,
                 .eos_ids = spec.eos_ids,
                 .bos_id = spec.bos_id,
                 .dms = std::nullopt,
                 .kvzap = std::nullopt,
                 .policy = cpu::policy_name(spec, {}),
                 .notes = spec.notes,
                 .sampling = recommended_sampling(generation)};
  if (spec.dms) {
    info.dms = DmsInfo{.source = spec.dms->source == DmsSource::adapter ? "adapter" : "neuron",
                       .window = spec.dms->window,
                       .decision_shift = spec.dms->decision_shift,
                       .alpha_per = spec.dms->per_layer ? "layer" : "head",
                       .alpha_scale = spec.dms->alpha_scale,
                       .alpha_offset = spec.dms->alpha_offset,
                       .target_cr = spec.dms->target_cr,
                       .disable_eviction = spec.dms->disable_eviction,
                       .origin = spec.dms->origin};
  }
  if (spec.kvzap) {
    info.kvzap = KvzapInfo{.form = spec.kvzap->hidden > 0 ? "mlp" : "linear",
                           .threshold = spec.kvzap->threshold,
                           .window = spec.kvzap->window,
                           .sinks = spec.kvzap->sinks,
                           .target_cr = spec.kvzap->target_cr,
                           .origin = spec.kvzap->origin};
  }
  return info;
}

}  // namespace dms::llm
