#include "model/spec/gguf_names.h"

#include <algorithm>
#include <array>

namespace dms {
namespace {

using enum WeightRole;

constexpr std::array kNames{
    WeightPattern{embedding, "token_embd.weight"},
    WeightPattern{attention_norm, "attn_norm.weight"},
    WeightPattern{q, "attn_q.weight"},
    WeightPattern{k, "attn_k.weight"},
    WeightPattern{v, "attn_v.weight"},
    WeightPattern{q_bias, "attn_q.bias"},
    WeightPattern{k_bias, "attn_k.bias"},
    WeightPattern{v_bias, "attn_v.bias"},
    WeightPattern{q_norm, "attn_q_norm.weight"},
    WeightPattern{k_norm, "attn_k_norm.weight"},
    WeightPattern{attention_output, "attn_output.weight"},
    WeightPattern{attention_output_bias, "attn_output.bias"},
    WeightPattern{mlp_norm, "ffn_norm.weight"},
    WeightPattern{gate, "ffn_gate.weight"},
    WeightPattern{gate_bias, "ffn_gate.bias"},
    WeightPattern{up, "ffn_up.weight"},
    WeightPattern{up_bias, "ffn_up.bias"},
    WeightPattern{down, "ffn_down.weight"},
    WeightPattern{down_bias, "ffn_down.bias"},
    WeightPattern{final_norm, "output_norm.weight"},
    WeightPattern{head, "output.weight"},
};

}  // namespace

std::string gguf_name(WeightRole role, int64_t layer) {
  const auto* it = std::ranges::find(kNames, role, &WeightPattern::role);
  if (it == kNames.end()) return {};
  return (layer < 0 ? "" : "blk." + std::to_string(layer) + ".") + std::string(it->name);
}

}  // namespace dms
