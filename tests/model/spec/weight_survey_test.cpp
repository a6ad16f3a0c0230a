// What a folder's tensors say beyond config.json: a head of its own, and tensors nobody reads.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "model/spec/load.h"
#include "model/spec/safetensors_file.h"
#include "model/spec/tiny_config.h"
#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

using testing_support::counting_tensor;
using testing_support::counting_tensors;
using testing_support::expect_parts;
using testing_support::spec_of;
using testing_support::TempFolder;
using testing_support::tensor_file;
using testing_support::TestTensor;
using testing_support::tiny_config;

constexpr const char* kHead = "lm_head.weight";
constexpr const char* kEmbedding = "model.embed_tokens.weight";

/// A folder of the tiny model's weights and more.
class Folder {
 public:
  explicit Folder(Json config = tiny_config()) : config_(std::move(config)) {
    folder_.write("config.json", config_.dump());
    tensors_ = counting_tensors(weight_names(spec_of(config_)));
  }

  void add(const TestTensor& tensor) { tensors_.push_back(tensor); }
  const TestTensor& tensor(const char* name) const {
    return *std::ranges::find(tensors_, name, &TestTensor::name);
  }
  std::string path() const { return folder_.path().string(); }
  const std::vector<TestTensor>& tensors() const { return tensors_; }

  ModelSpec load() const {
    folder_.write("model.safetensors", tensor_file(tensors_));
    return load_spec(folder_.path(), MetadataScope::with_parent);
  }
  /// The same with a shard for each tensor.
  ModelSpec load_sharded() const {
    std::filesystem::remove(folder_.path() / "model.safetensors");
    Json map;
    for (size_t i = 0; i < tensors_.size(); ++i) {
      const std::string file = "shard-" + std::to_string(i) + ".safetensors";
      folder_.write(file, tensor_file({tensors_[i]}));
      map[tensors_[i].name] = file;
    }
    folder_.write("model.safetensors.index.json", Json{{"weight_map", map}}.dump());
    return load_spec(folder_.path(), MetadataScope::with_parent);
  }

 private:
  Json config_;
  TempFolder folder_;
  std::vector<TestTensor> tensors_;
};

Json tied_config() {
  Json config = tiny_config();
  config["tie_word_embeddings"] = true;
  return config;
}

TestTensor named(TestTensor tensor, const char* name) {
  tensor.name = name;
  return tensor;
}

std::vector<float> last_row(const Folder& folder, const ModelSpec& spec, const char* name) {
  const auto source = open_checkpoint(folder.path(), spec);
  const std::vector<WeightName> weights = weight_names(spec);
  const WeightName& weight = *std::ranges::find(weights, name, &WeightName::name);
  std::vector<float> row(static_cast<size_t>(weight.shape[1]));
  source->read_rows(weight, weight.shape[0] - 1, 1, row);
  return row;
}

TEST(OwnHead, ThatDiffersIsUsedThoughTheConfigTiesIt) {
  Folder folder(tied_config());
  TestTensor head = named(folder.tensor(kEmbedding), kHead);
  head.bytes.back() = '\x40';  // the last value's exponent: no longer 511
  folder.add(head);
  for (const bool sharded : {false, true}) {
    const ModelSpec spec = sharded ? folder.load_sharded() : folder.load();
    EXPECT_FALSE(spec.tied_head);
    ASSERT_EQ(spec.notes.size(), 1u);
    expect_parts(spec.notes[0], {kHead, "differs from the embedding", "tie_word_embeddings"});
    EXPECT_NE(last_row(folder, spec, kHead), last_row(folder, spec, kEmbedding));
  }
}

TEST(OwnHead, OfTheSameValuesIsTheEmbedding) {
  Folder folder(tied_config());
  folder.add(named(folder.tensor(kEmbedding), kHead));
  for (const bool sharded : {false, true}) {
    const ModelSpec spec = sharded ? folder.load_sharded() : folder.load();
    EXPECT_TRUE(spec.tied_head);
    EXPECT_TRUE(spec.notes.empty());
  }
}

TEST(OwnHead, OfAnotherTypeIsComparedByItsValues) {
  for (const bool same : {true, false}) {
    Folder folder(tied_config());
    TestTensor head{.name = kHead, .shape = {32, 16}, .bytes = {}, .dtype = "F16"};
    for (int i = 0; i < 32 * 16; ++i) {  // as the embedding counts: exact in a half
      const uint16_t half = to_half(static_cast<float>(same || i < 511 ? i : 512));
      head.bytes.append(reinterpret_cast<const char*>(&half), sizeof(half));
    }
    folder.add(head);
    EXPECT_EQ(folder.load().tied_head, same);
  }
}

TEST(OwnHead, AnUntiedModelKeepsItsOwnWithoutANote) {
  const ModelSpec spec = Folder().load();
  EXPECT_FALSE(spec.tied_head);
  EXPECT_TRUE(spec.notes.empty());
}

TestTensor filler(const std::string& name) {
  return counting_tensor({WeightRole::attention_norm, -1, name, {2}});
}

TEST(UnreadTensors, AreNamedAndCounted) {
  Folder folder;
  folder.add(filler("model.layers.0.self_attn.q_proj.bias"));
  const ModelSpec one = folder.load();
  ASSERT_EQ(one.notes.size(), 1u);
  expect_parts(one.notes[0],
               {"model.safetensors", "1 tensor is not used", "layers.0.self_attn.q_proj.bias"});
  folder.add(filler("model.layers.0.pre_feedforward_layernorm.weight"));
  folder.add(filler("model.layers.2.mlp.up_proj.weight"));  // a layer too many
  folder.add(filler("vision\ntower"));
  for (const bool sharded : {false, true}) {
    const ModelSpec four = sharded ? folder.load_sharded() : folder.load();
    ASSERT_EQ(four.notes.size(), 1u);
    expect_parts(four.notes[0], {"4 tensors are not used", "layers.2.mlp.up_proj.weight", ", ..."});
    EXPECT_EQ(four.notes[0].find('\n'), std::string::npos);
  }
}

TEST(UnreadTensors, EvictionWeightsOfAPlainConfigAreAmongThem) {
  Folder folder;
  folder.add(filler("model.layers.0.self_attn.dms_proj_alpha.weight"));
  const ModelSpec spec = folder.load();
  ASSERT_EQ(spec.notes.size(), 1u);
  expect_parts(spec.notes[0], {"dms_proj_alpha.weight"});
}

TEST(UnreadTensors, BuffersThatEveryReaderComputesAreNoNews) {
  Folder folder;
  for (const char* name : {"model.layers.0.self_attn.rotary_emb.inv_freq",
                           "model.rotary_emb.inv_freq",
                           "model.layers.0.self_attn.rotary_emb.cos_cached",
                           "model.layers.0.self_attn.rotary_emb.sin_cached",
                           "model.embeddings.position_ids",
                           "transformer.h.0.attn.masked_bias",
                           "transformer.h.0.attn.bias"}) {
    folder.add(filler(name));
  }
  EXPECT_TRUE(folder.load().notes.empty());
}

TEST(WeightSurvey, FilesThatAreMissingOrDamagedSayNothing) {
  const TempFolder folder;
  folder.write("config.json", tied_config().dump());
  const auto load = [&] { return load_spec(folder.path(), MetadataScope::with_parent); };
  EXPECT_TRUE(load().notes.empty());
  folder.write("model.safetensors", "no such file");
  EXPECT_TRUE(load().notes.empty());
  std::filesystem::remove(folder.path() / "model.safetensors");
  folder.write("model.safetensors.index.json", R"({"weight_map": {"x": "gone.safetensors"}})");
  EXPECT_TRUE(load().tied_head);
}

}  // namespace
}  // namespace dms
