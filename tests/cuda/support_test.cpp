#include "cuda/support.h"

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cuda/source_folder.h"
#include "dms/error.h"
#include "model/spec/load.h"

namespace dms::cuda {
namespace {

/// What the backend computes: heads of 64 channels, three to a KV head.
ModelSpec supported() {
  ModelSpec spec;
  spec.model_type = "llama";
  spec.layers = 2;
  spec.hidden = 384;
  spec.q_heads = 6;
  spec.kv_heads = 2;
  spec.head_dim = 64;
  spec.ffn = 1024;
  spec.vocab = 1000;
  spec.context = 4096;
  spec.rope.rotary_dim = 64;
  return spec;
}

struct Case {
  const char* named;  // in the error
  std::function<void(ModelSpec&)> change;
};

TEST(CudaSupport, RefusesWhatItDoesNotComputeByName) {
  const std::vector<Case> cases = {
      {"ALiBi (got position alibi", [](auto& s) { s.position = PositionKind::alibi; }},
      {"learned positions", [](auto& s) { s.position = PositionKind::learned; }},
      {"rope scaling dynamic", [](auto& s) { s.rope.scaling = RopeScaling::dynamic; }},
      {"rope scaling longrope", [](auto& s) { s.rope.scaling = RopeScaling::longrope; }},
      {"rope scaling dynamic",
       [](auto& s) {
         s.local_rope = s.rope;
         s.local_rope->scaling = RopeScaling::dynamic;
       }},
      {"head_dim 72", [](auto& s) { s.head_dim = 72; }},
      {"head_dim 256", [](auto& s) { s.head_dim = 256; }},
      {"more than 8 query heads to a KV head (got 18 heads, 2 of keys and values",
       [](auto& s) { s.q_heads = 18; }},
      {"attention_soft_cap 50", [](auto& s) { s.attention_soft_cap = 50.0; }},
      {"sliding_window 4096",
       [](auto& s) {
         s.sliding_window = {0, 4096};
       }},
      {"qk_norm_whole", [](auto& s) { s.qk_norm_whole = true; }},
      {"qkv_clip 8", [](auto& s) { s.qkv_clip = 8.0; }},
      {"post_norms", [](auto& s) { s.post_norms = true; }},
      {"norm_after", [](auto& s) { s.norm_after = true; }},
      {"no final norm", [](auto& s) { s.has_final_norm = false; }},
      {"embedding_dim 512", [](auto& s) { s.embedding_dim = 512; }},
      {"logit_soft_cap 30", [](auto& s) { s.logit_soft_cap = 30.0; }},
      {"hidden 400", [](auto& s) { s.hidden = 400; }},
      {"ffn 1000", [](auto& s) { s.ffn = 1000; }},
      {"q_heads x head_dim 240",
       [](auto& s) {
         s.head_dim = 80;
         s.q_heads = 3;
         s.kv_heads = 3;
       }},
      {"hidden 16416", [](auto& s) { s.hidden = 16416; }},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.named);
    ModelSpec spec = supported();
    c.change(spec);
    try {
      require_supported(spec);
      ADD_FAILURE() << "was accepted";
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(c.named), std::string::npos) << error.what();
      EXPECT_EQ(error.parts().field, "device");
      EXPECT_EQ(error.parts().expected, "device cpu");
      EXPECT_EQ(error.parts().where, "config.json: model_type llama");
    }
  }
}

TEST(CudaSupport, TakesWhatTheIssueAsksFor) {
  const std::vector<std::function<void(ModelSpec&)>> changes = {
      [](auto&) {},
      [](auto& s) { s.norm = NormKind::layer, s.norm_has_bias = true; },
      [](auto& s) { s.rope.rotary_dim = 32; },
      [](auto& s) { s.rope.scaling = RopeScaling::llama3; },
      [](auto& s) { s.rope.scaling = RopeScaling::yarn; },
      [](auto& s) {
        s.unrotated = {0, 1};
      },
      [](auto& s) {
        s.sliding_window = {0, 0};
      },
      [](auto& s) { s.qk_norm = true; },
      [](auto& s) { s.qkv_bias = s.output_bias = s.mlp_bias = true; },
      [](auto& s) { s.gated_mlp = false, s.activation = Activation::relu; },
      [](auto& s) { s.tied_head = true; },
      [](auto& s) { s.embedding_scale = 19.6; },
      [](auto& s) { s.dms = DmsSpec{.source = DmsSource::adapter}; },
      [](auto& s) { s.dms = DmsSpec{.source = DmsSource::neuron}; },
      [](auto& s) { s.kvzap = KvzapSpec{.hidden = 512}; },
      [](auto& s) { s.head_dim = 80, s.q_heads = 8; },
      [](auto& s) { s.head_dim = 96; },
      [](auto& s) { s.head_dim = 128, s.q_heads = 16; },
  };
  for (const auto& change : changes) {
    ModelSpec spec = supported();
    change(spec);
    EXPECT_NO_THROW(require_supported(spec));
  }
}

TEST(CudaSupport, RefusesLargeHeadsWhereBlocksHaveLittleSharedMemory) {
  constexpr int k86 = 99 << 10;  // of devices 8.6 and 8.9
  constexpr int k80 = 163 << 10;
  for (const int64_t head_dim : {64, 80, 96, 128}) {
    ModelSpec spec = supported();
    spec.head_dim = head_dim;
    EXPECT_NO_THROW(require_shared_memory(spec, k80)) << head_dim;
    if (head_dim < 96) {
      EXPECT_NO_THROW(require_shared_memory(spec, k86)) << head_dim;
      continue;
    }
    try {
      require_shared_memory(spec, k86);
      ADD_FAILURE() << head_dim << " was accepted";
    } catch (const InputError& error) {
      const std::string named = "head_dim " + std::to_string(head_dim);
      EXPECT_NE(std::string(error.what()).find(named), std::string::npos) << error.what();
    }
  }
}

TEST(CudaSupport, TakesTheDemoModel) {
  const std::filesystem::path folder = testing_support::source_folder() / "models/demo";
  EXPECT_NO_THROW(require_supported(load_spec(folder, MetadataScope::folder_only)));
}

}  // namespace
}  // namespace dms::cuda
