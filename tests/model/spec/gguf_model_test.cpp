#include "model/spec/gguf_model.h"

#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "model/spec/gguf_names.h"
#include "model/spec/rope_frequencies.h"
#include "support/errors.h"
#include "support/gguf_bytes.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

using namespace testing_support;  // the words that a file is made of

constexpr uint64_t kHidden = 32;
constexpr uint64_t kHeadDim = 8;
constexpr uint64_t kQ = 4 * kHeadDim;
constexpr uint64_t kKv = 2 * kHeadDim;
constexpr uint64_t kFfn = 64;
constexpr uint64_t kVocab = 20;

std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

/// Values that count from 0.
GgufTensor counting(const std::string& name, const std::vector<uint64_t>& sizes) {
  std::vector<float> values(
      std::accumulate(sizes.begin(), sizes.end(), size_t{1}, std::multiplies<>()));
  std::iota(values.begin(), values.end(), 0.0f);
  return {.name = name, .sizes = sizes, .data = floats(values)};
}

GgufParts tiny(const std::string& architecture = "llama") {
  const auto key = [&](const char* name) { return architecture + "." + name; };
  GgufParts parts{.metadata = {{"general.architecture", gguf_text(architecture)},
                               {key("block_count"), gguf_u32(1)},
                               {key("context_length"), gguf_u32(256)},
                               {key("embedding_length"), gguf_u32(kHidden)},
                               {key("feed_forward_length"), gguf_u32(kFfn)},
                               {key("attention.head_count"), gguf_u32(4)},
                               {key("attention.head_count_kv"), gguf_u32(2)},
                               {key("attention.layer_norm_rms_epsilon"), gguf_f32(1e-5f)},
                               {key("rope.freq_base"), gguf_f32(5e5f)},
                               {"tokenizer.ggml.bos_token_id", gguf_u32(1)},
                               {"tokenizer.ggml.eos_token_id", gguf_u32(2)},
                               {"tokenizer.ggml.eot_token_id", gguf_u32(7)}},
                  .tensors = {counting("token_embd.weight", {kHidden, kVocab}),
                              counting("blk.0.attn_norm.weight", {kHidden}),
                              counting("blk.0.attn_q.weight", {kHidden, kQ}),
                              counting("blk.0.attn_k.weight", {kHidden, kKv}),
                              counting("blk.0.attn_v.weight", {kHidden, kKv}),
                              counting("blk.0.attn_output.weight", {kQ, kHidden}),
                              counting("blk.0.ffn_norm.weight", {kHidden}),
                              counting("blk.0.ffn_gate.weight", {kHidden, kFfn}),
                              counting("blk.0.ffn_up.weight", {kHidden, kFfn}),
                              counting("blk.0.ffn_down.weight", {kFfn, kHidden}),
                              counting("output_norm.weight", {kHidden})}};
  if (architecture == "qwen2") {
    parts.tensors.push_back(counting("blk.0.attn_q.bias", {kQ}));
    parts.tensors.push_back(counting("blk.0.attn_k.bias", {kKv}));
    parts.tensors.push_back(counting("blk.0.attn_v.bias", {kKv}));
  }
  return parts;
}

std::string& value_of(GgufParts& parts, const std::string& key) {
  for (auto& [name, value] : parts.metadata) {
    if (name == key) return value;
  }
  return parts.metadata.emplace_back(key, "").second;
}

/// A file in a folder of its own.
class Model {
 public:
  explicit Model(const GgufParts& parts)
      : file_(std::make_shared<const gguf::File>(folder_.write("m.gguf", gguf_bytes(parts)))),
        spec_(load_gguf_spec(*file_)),
        source_(open_gguf_weights(file_, spec_)) {}

  const ModelSpec& spec() const { return spec_; }
  const gguf::File& file() const { return *file_; }
  const WeightSource& source() const { return *source_; }

  WeightName weight(WeightRole role) const {
    for (const WeightName& weight : weight_names(spec_)) {
      if (weight.role == role) return weight;
    }
    ADD_FAILURE() << "no such weight";
    return {};
  }
  std::vector<float> rows(WeightRole role, int64_t first, int64_t count) const {
    const WeightName name = weight(role);
    std::vector<float> out(static_cast<size_t>(count * name.shape.back()));
    source_->read_rows(name, first, count, out);
    return out;
  }

 private:
  TempFolder folder_;
  std::shared_ptr<const gguf::File> file_;
  ModelSpec spec_;
  std::unique_ptr<WeightSource> source_;
};

TEST(GgufModel, MetadataBecomeTheSpec) {
  const Model model(tiny());
  const ModelSpec& spec = model.spec();
  EXPECT_EQ(spec.model_type, "llama");
  EXPECT_EQ(spec.layers, 1);
  EXPECT_EQ(spec.head_dim, 8);
  EXPECT_EQ(spec.kv_heads, 2);
  EXPECT_EQ(spec.vocab, 20);
  EXPECT_EQ(spec.context, 256);
  EXPECT_EQ(spec.rope.theta, 5e5);
  EXPECT_TRUE(spec.tied_head);
  EXPECT_EQ(spec.bos_id, 1);
  EXPECT_EQ(spec.eos_ids, (std::vector<int32_t>{2, 7}));
  EXPECT_TRUE(spec.notes.empty());
  EXPECT_TRUE(Model(tiny("qwen2")).spec().qkv_bias);
}

TEST(GgufModel, RowsOfLlamasQueriesAndKeysComeApart) {
  // Row r of a file counts from r * kHidden: the first number says which row it was.
  const std::vector<float> order = {0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15};
  const Model llama(tiny("llama"));
  const Model qwen(tiny("qwen2"));
  const std::vector<float> some = llama.rows(WeightRole::k, 5, 7);
  for (size_t row = 0; row < 7; ++row) {
    EXPECT_EQ(some[row * kHidden], order[row + 5] * kHidden) << row;
    EXPECT_EQ(some[row * kHidden + 1], order[row + 5] * kHidden + 1) << row;
  }
  EXPECT_EQ(llama.rows(WeightRole::q, 1, 1)[0], 2 * kHidden);
  EXPECT_EQ(llama.rows(WeightRole::v, 1, 1)[0], 1 * kHidden);
  EXPECT_EQ(qwen.rows(WeightRole::q, 1, 1)[0], 1 * kHidden);
  EXPECT_EQ(qwen.rows(WeightRole::q_bias, 0, 1)[1], 1);

  GgufParts biased = tiny();
  for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
    const bool is_wide = std::string(name) == "attn_q" || std::string(name) == "attn_output";
    biased.tensors.push_back(
        counting("blk.0." + std::string(name) + ".bias", {is_wide ? kQ : kKv}));
  }
  EXPECT_EQ(Model(biased).rows(WeightRole::k_bias, 0, 1), order);
}

TEST(GgufModel, AWindowMakesItMistral) {
  GgufParts parts = tiny();
  value_of(parts, "llama.attention.sliding_window") = gguf_u32(40);
  const Model model(parts);
  EXPECT_EQ(model.spec().model_type, "mistral");
  EXPECT_EQ(model.spec().sliding_window, std::vector<int64_t>{40});
  EXPECT_EQ(model.rows(WeightRole::k, 1, 1)[0], 2 * kHidden);  // in pairs as Llama's
}

TEST(GgufModel, FactorsDivideTheFrequencies) {
  GgufParts parts = tiny();
  const std::vector<float> plain = inverse_frequencies(Model(parts).spec().rope, 1);
  parts.tensors.push_back({.name = kRopeFactors, .sizes = {4}, .data = floats({1, 2, 8, 32})});
  const Model model(parts);
  const std::vector<float> divided = inverse_frequencies(model.spec().rope, 1);
  ASSERT_EQ(divided.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_FLOAT_EQ(divided[i], plain[i] / model.spec().rope.frequency_divisors[i]);
  }
  EXPECT_TRUE(model.spec().notes.empty());
}

TEST(GgufModel, ScalingsAreRead) {
  GgufParts parts = tiny("qwen2");
  value_of(parts, "qwen2.rope.scaling.type") = gguf_text("yarn");
  value_of(parts, "qwen2.rope.scaling.factor") = gguf_f32(4);
  value_of(parts, "qwen2.rope.scaling.original_context_length") = gguf_u32(64);
  value_of(parts, "qwen2.rope.dimension_count") = gguf_u32(6);
  const RopeSpec yarn = Model(parts).spec().rope;
  EXPECT_EQ(yarn.scaling, RopeScaling::yarn);
  EXPECT_EQ(yarn.original_context, 64);
  EXPECT_EQ(yarn.rotary_dim, 6);
  EXPECT_FALSE(yarn.attention_factor.has_value());
  GgufParts old = tiny();
  value_of(old, "llama.rope.scale_linear") = gguf_f32(2);
  EXPECT_EQ(Model(old).spec().rope.scaling, RopeScaling::linear);
  EXPECT_EQ(Model(old).spec().rope.factor, 2);
}

TEST(GgufModel, GroupsAreHandedOutAsTheyAre) {
  GgufParts parts = tiny();
  std::string data;
  for (size_t row = 0; row < kKv; ++row) {
    data += raw(to_half(static_cast<float>(row + 1))) + raw(to_half(-2.0f));
    for (int i = 0; i < 16; ++i) data += static_cast<char>(i | (15 - i) << 4);
  }
  for (GgufTensor& tensor : parts.tensors) {
    if (tensor.name != "blk.0.attn_k.weight") continue;
    tensor.type = 3;  // Q4_1
    tensor.data = data;
  }
  const Model model(parts);
  const WeightName k = model.weight(WeightRole::k);
  const std::optional<CodeGroups> groups = model.source().code_groups(k);
  ASSERT_TRUE(groups.has_value());
  EXPECT_EQ(groups->group, 32);
  EXPECT_EQ(groups->bits, 4);
  EXPECT_TRUE(groups->has_minima);
  EXPECT_FALSE(model.source().code_groups(model.weight(WeightRole::v)).has_value());
  std::vector<uint8_t> codes(3 * kHidden);
  std::vector<float> scales(3);
  std::vector<float> minima(3);
  model.source().read_codes(k, 2, 3, {.codes = codes, .scales = scales, .minima = minima});
  EXPECT_EQ(scales, (std::vector<float>{5, 7, 2}));  // rows 4, 6 and 1 of the file
  EXPECT_EQ(minima, (std::vector<float>{-2, -2, -2}));
  EXPECT_EQ(codes[kHidden + 3], 3);
  EXPECT_EQ(codes[kHidden + 19], 12);
  std::vector<float> decoded(3 * kHidden);
  read_decoded_rows(model.source(), k, 2, 3, decoded);
  EXPECT_EQ(decoded, model.rows(WeightRole::k, 2, 3));
  EXPECT_EQ(model.rows(WeightRole::k, 3, 1)[3], 7 * 3 - 2);
  const std::vector<StoredType> types = stored_types(model.file());
  ASSERT_EQ(types.size(), 2u);
  EXPECT_EQ(types[1].name, "Q4_1");
  EXPECT_EQ(types[1].parameters, static_cast<int64_t>(kKv * kHidden));
  EXPECT_EQ(types[1].bytes, std::ssize(data));
}

TEST(GgufModel, AScaleThatIsNoNumberIsRefused) {
  GgufParts parts = tiny();
  for (GgufTensor& tensor : parts.tensors) {
    if (tensor.name != "blk.0.attn_v.weight") continue;
    tensor.type = 8;  // Q8_0
    tensor.data.assign(kKv * 34, '\1');
    tensor.data[5 * 34 + 1] = '\x7e';
  }
  const Model model(parts);
  EXPECT_EQ(model.rows(WeightRole::v, 0, 5)[0], half_to_float(0x0101));
  const std::string message = input_error([&] { model.rows(WeightRole::v, 4, 2); });
  expect_parts(message, {"m.gguf: tensor blk.0.attn_v.weight", "not finite"});
}

TEST(GgufModel, TensorsNobodyReadsAreNamed) {
  GgufParts parts = tiny("qwen2");
  parts.tensors.push_back({.name = kRopeFactors, .sizes = {4}, .data = floats({1, 2, 3, 4})});
  parts.tensors.push_back(counting("blk.0.attn_sub_norm.weight", {4}));
  const Model model(parts);
  ASSERT_EQ(model.spec().notes.size(), 1u);
  expect_parts(model.spec().notes[0], {"2 tensors", "attn_sub_norm", kRopeFactors});
}

struct Case {
  std::string name;
  std::function<void(GgufParts&)> bend;
  std::vector<std::string> words;
};

class BadGgufModel : public ::testing::TestWithParam<Case> {};

TEST_P(BadGgufModel, IsRefusedByName) {
  GgufParts parts = tiny();
  GetParam().bend(parts);
  const std::string message = input_error([&] { Model{parts}; });
  expect_parts(message, {"m.gguf"});
  for (const std::string& word : GetParam().words) expect_parts(message, {word});
}

Case sets(const char* name,
          const std::string& key,
          const std::string& value,
          std::vector<std::string> words) {
  return {name, [=](GgufParts& p) { value_of(p, key) = value; }, std::move(words)};
}

GgufTensor& tensor(GgufParts& parts, const std::string& name) {
  for (GgufTensor& tensor : parts.tensors) {
    if (tensor.name == name) return tensor;
  }
  return parts.tensors.front();
}

INSTANTIATE_TEST_SUITE_P(
    Every,
    BadGgufModel,
    ::testing::Values(
        sets("Architecture", "general.architecture", gguf_text("gemma3"), {"\"gemma3\"", "qwen3"}),
        sets("ArchitectureKind", "general.architecture", gguf_u32(1), {"got 1", "a string"}),
        Case{"NoKeys", [](GgufParts& p) { p.metadata.clear(); }, {"general.architecture"}},
        sets("NoLayers", "llama.block_count", gguf_u32(0), {"llama.block_count", "got 0"}),
        sets("ManyLayers", "llama.block_count", gguf_u32(100000), {"num_hidden_layers", "4096"}),
        sets("LayersAsText", "llama.block_count", gguf_text("1"), {"block_count", "an integer"}),
        sets("Heads", "llama.attention.head_count", gguf_u32(5), {"head_count", "divisor of 32"}),
        sets("HeadsPerLayer",
             "llama.attention.head_count",
             gguf_numbers<uint32_t>(4, {4, 4}),
             {"llama.attention.head_count", "got [4,4]"}),
        sets("KvHeads", "llama.attention.head_count_kv", gguf_u32(3), {"got 3", "divisor of 4"}),
        sets("Values", "llama.attention.value_length", gguf_u32(4), {"value_length", "got 4"}),
        sets(
            "Epsilon", "llama.attention.layer_norm_rms_epsilon", gguf_f32(NAN), {"epsilon", "NaN"}),
        sets("Experts", "llama.expert_count", gguf_u32(8), {"expert_count", "mixtures"}),
        sets("Encoder", "llama.attention.causal", gguf_bool(false), {"causal", "encoder"}),
        sets("Rotary", "llama.rope.dimension_count", gguf_u32(6), {"dimension_count", "got 6"}),
        sets("Scaling", "llama.rope.scaling.type", gguf_text("longrope"), {"\"longrope\"", "yarn"}),
        sets("NoFactor", "llama.rope.scaling.type", gguf_text("linear"), {"scaling.factor"}),
        sets("WrongVocabulary",
             "tokenizer.ggml.bos_token_id",
             gguf_text("<s>"),
             {"bos_token_id", "a token id"}),
        Case{"MissingTensor",
             [](GgufParts& p) { tensor(p, "blk.0.ffn_up.weight").name = "blk.0.ffn_in.weight"; },
             {"tensor blk.0.ffn_up.weight", "missing", "[64, 32]"}},
        Case{"MissingEmbedding",
             [](GgufParts& p) { tensor(p, "token_embd.weight").name.front() = 'x'; },
             {"tensor token_embd.weight", "missing"}},
        Case{"WrongShape",
             [](GgufParts& p) {
               tensor(p, "blk.0.ffn_up.weight").sizes = {kFfn, kHidden};
             },
             {"tensor blk.0.ffn_up.weight", "got [32, 64]", "[64, 32]"}},
        Case{"WrongType",
             [](GgufParts& p) {
               tensor(p, "blk.0.attn_v.weight").type = 7;
               tensor(p, "blk.0.attn_v.weight").data.resize(kKv * 24);
             },
             {"tensor blk.0.attn_v.weight", "got Q5_1", "Q4_K"}},
        Case{"FactorsTooFew",
             [](GgufParts& p) {
               p.tensors.push_back({.name = kRopeFactors, .sizes = {2}, .data = floats({1, 1})});
             },
             {kRopeFactors, "got F32 [2]", "F32 [4]"}},
        Case{"FactorZero",
             [](GgufParts& p) {
               p.tensors.push_back(
                   {.name = kRopeFactors, .sizes = {4}, .data = floats({1, 1, 0, 1})});
             },
             {kRopeFactors, "more than 0"}}),
    [](const auto& item) { return item.param.name; });

}  // namespace
}  // namespace dms
