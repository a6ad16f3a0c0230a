#pragma once
// config.json of families before Llama, as small as tests/python/test_family_weights.py has
// transformers save them.

#include <array>
#include <string_view>

#include "base/json.h"

namespace dms::testing_support {

inline Json old_family_config(std::string_view model_type, const Json& more) {
  Json config{{"model_type", model_type},
              {"vocab_size", 40},
              {"hidden_size", 48},
              {"num_hidden_layers", 2},
              {"num_attention_heads", 6},
              {"max_position_embeddings", 16}};
  config.update(more);
  return config;
}

struct FamilyConfig {
  std::string_view name;  // in the golden file
  Json (*make)();
};

inline Json falcon_rw_config() {
  return old_family_config(
      "falcon",
      {{"alibi", true}, {"multi_query", false}, {"parallel_attn", false}, {"bias", true}});
}

inline Json opt_350m_config() {
  return old_family_config(
      "opt", {{"ffn_dim", 192}, {"word_embed_proj_dim", 24}, {"do_layer_norm_before", false}});
}

inline constexpr std::array kFamilyConfigs{
    FamilyConfig{"gpt_neox",
                 [] {
                   return old_family_config("gpt_neox", {{"intermediate_size", 192}});
                 }},
    FamilyConfig{"falcon_rw", falcon_rw_config},
    FamilyConfig{"falcon_7b", [] { return old_family_config("falcon", Json::object()); }},
    FamilyConfig{"falcon_40b",
                 [] {
                   return old_family_config("falcon",
                                            {{"new_decoder_architecture", true},
                                             {"num_kv_heads", 2},
                                             {"tie_word_embeddings", false}});
                 }},
    FamilyConfig{"mpt",
                 [] {
                   return Json{{"model_type", "mpt"},
                               {"vocab_size", 40},
                               {"d_model", 48},
                               {"n_heads", 6},
                               {"n_layers", 2},
                               {"max_seq_len", 16}};
                 }},
    FamilyConfig{"opt",
                 [] {
                   return old_family_config("opt", {{"ffn_dim", 192}});
                 }},
    FamilyConfig{"opt_350m", opt_350m_config},
};

}  // namespace dms::testing_support
