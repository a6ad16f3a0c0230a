#pragma once
// A small config.json of any family, to be bent by a test.

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "base/json.h"
#include "model/spec/load.h"
#include "support/temp_folder.h"

namespace dms::testing_support {

inline Json tiny_config(std::string_view model_type = "llama") {
  return {{"model_type", model_type},
          {"num_hidden_layers", 2},
          {"hidden_size", 16},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"head_dim", 4},
          {"intermediate_size", 24},
          {"vocab_size", 32},
          {"max_position_embeddings", 128},
          {"tie_word_embeddings", false},
          {"torch_dtype", "float32"},
          // What older families call the same.
          {"rotary_pct", 0.5},
          {"ffn_dim", 24},
          {"ffn_hidden_size", 24},
          {"n_layers", 2},
          {"d_model", 16},
          {"n_heads", 4},
          {"max_seq_len", 128},
          {"new_decoder_architecture", true},
          {"num_kv_heads", 2}};
}

/// Whether all sizes have Llama's names.
inline bool has_llama_names(std::string_view model_type) {
  constexpr std::array<std::string_view, 4> kOthers{"gpt_neox", "opt", "falcon", "mpt"};
  return std::ranges::find(kOthers, model_type) == kOthers.end();
}

inline ModelSpec spec_of(const Json& config) {
  const TempFolder folder;
  return load_spec_from_config(folder.write("config.json", config.dump()));
}

}  // namespace dms::testing_support
