// What lies beside a model's folder is read on demand only: a server's models come from strangers.

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/llm.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

using testing_support::TempFolder;

constexpr const char* kConfig = R"({
  "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 83,
  "max_position_embeddings": 512, "tie_word_embeddings": true})";

TEST(MetadataScope, IsTheFolderUnlessToldOtherwise) {
  const TempFolder parent;
  parent.write("training_log.json", R"({"window_size": 7, "target_cr": 4})");
  parent.write("model/config.json", kConfig);
  parent.write("model/model.safetensors", std::string("\2\0\0\0\0\0\0\0{}", 10));
  const std::filesystem::path folder = parent.path() / "model";
  EXPECT_FALSE(inspect_model(folder).dms);
  const ModelInfo wide = inspect_model(folder, {}, MetadataScope::with_parent);
  ASSERT_TRUE(wide.dms);
  EXPECT_EQ(wide.dms->window, 7);
  EXPECT_EQ(ModelOptions().metadata_scope, MetadataScope::folder_only);
}

TEST(PolicyNames, CanAllBeAskedFor) {
  const std::filesystem::path demo = std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo";
  const ModelSource source(demo);
  EXPECT_THAT(policy_names(), testing::Contains("none"));
  for (const std::string_view name : policy_names()) {
    if (name == "forced" || name == "kvzap") continue;  // need files
    EXPECT_GT(source.check(CacheOptions{.policy = std::string(name)}).max_tokens, 0) << name;
  }
}

}  // namespace
}  // namespace dms
