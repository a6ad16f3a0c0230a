#pragma once
// A small config.json of any family, to be bent by a test.

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
          {"torch_dtype", "float32"}};
}

inline ModelSpec spec_of(const Json& config) {
  const TempFolder folder;
  return load_spec_from_config(folder.write("config.json", config.dump()));
}

}  // namespace dms::testing_support
