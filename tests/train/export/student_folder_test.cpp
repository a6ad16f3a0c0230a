// What is written is read back as it was meant: settings and weights, every family and form.

#include "train/export/student_folder.h"

#include <string>
#include <tuple>

#include <gtest/gtest.h>

#include "base/input_file.h"
#include "base/json.h"
#include "model/spec/adapter.h"
#include "model/spec/safetensors.h"
#include "model/spec/safetensors_file.h"
#include "train/export/base_folder.h"

namespace dms::train {
namespace {

namespace fs = std::filesystem;
using testing_support::BaseFolder;
using testing_support::bf16_bytes;
using testing_support::NoiseWeights;
using testing_support::read_all;
using testing_support::stored_bytes;
using testing_support::tiny_config;

constexpr int64_t kMaxBytes = int64_t{1} << 20;

DmsSpec adapter() {
  return {.source = DmsSource::adapter,
          .decision_shift = 1,
          .per_layer = false,
          .window = 300,
          .alpha_scale = 12.5,
          .alpha_offset = 0.1,
          .target_cr = 6.4};
}

void expect_same_settings(const DmsSpec& got, const DmsSpec& expected) {
  EXPECT_EQ(got.source, expected.source);
  EXPECT_EQ(got.decision_shift, expected.decision_shift);
  EXPECT_EQ(got.alpha_bias, expected.alpha_bias);
  EXPECT_EQ(got.sinks, expected.sinks);
  EXPECT_EQ(got.zero_after_rope, expected.zero_after_rope);
  EXPECT_EQ(got.per_layer, expected.per_layer);
  EXPECT_EQ(got.disable_eviction, expected.disable_eviction);
  EXPECT_EQ(got.window, expected.window);
  EXPECT_EQ(got.alpha_scale, expected.alpha_scale);
  EXPECT_EQ(got.alpha_offset, expected.alpha_offset);
  EXPECT_EQ(got.target_cr, expected.target_cr);
}

struct Shape {
  bool tied;
  bool sharded;
  bool biased;
};

class StudentOfEveryFamily : public ::testing::TestWithParam<std::tuple<std::string_view, Shape>> {
 protected:
  static Json config() {
    const auto& [family, shape] = GetParam();
    Json config = tiny_config(family);
    config["tie_word_embeddings"] = shape.tied;
    config["attention_bias"] = shape.biased;
    return config;
  }
  static int64_t shard_bytes() { return std::get<Shape>(GetParam()).sharded ? 700 : kMaxBytes; }
};

TEST_P(StudentOfEveryFamily, IsReadBackWithTheBasesBytesAndRoundedAdapters) {
  const BaseFolder base(config());
  const fs::path out = base.beside("student");
  const NoiseWeights trained(9);
  const auto source = layer_weights(base.open(), std::make_unique<NoiseWeights>(trained));
  const StudentOptions options{.dms = adapter(), .max_shard_bytes = shard_bytes()};
  write_student_folder(base.path(), out, options, *source);
  const ModelSpec spec = load_spec(out, MetadataScope::with_parent);
  ASSERT_TRUE(spec.dms);
  expect_same_settings(*spec.dms, adapter());
  EXPECT_EQ(spec.tied_head, base.spec().tied_head);
  EXPECT_EQ(spec.eos_ids, (std::vector<int32_t>{3, 4}));  // generation_config.json came along
  EXPECT_EQ(weight_names(spec).size(),
            weight_names(base.spec()).size() + (spec.qkv_bias ? 6u : 4u));
  const auto written = open_checkpoint(out, spec);
  for (const WeightName& weight : weight_names(spec)) {
    const bool is_trained = weight.name.find("dms_proj") != std::string::npos;
    const std::vector<float> expected = (is_trained ? trained : base.weights()).all(weight);
    EXPECT_EQ(bf16_bytes(read_all(*written, weight)), bf16_bytes(expected)) << weight.name;
  }
}

TEST_P(StudentOfEveryFamily, KeepsTheBasesWeightsByteForByte) {
  const BaseFolder base(config());
  const fs::path out = base.beside("student");
  write_student_folder(
      base.path(), out, {.dms = DmsSpec{}, .max_shard_bytes = shard_bytes()}, *base.open());
  const SafetensorsFile before(base.path() / "model.safetensors");
  std::set<std::string> seen;
  for (const auto& item : fs::directory_iterator(out)) {
    if (item.path().extension() != ".safetensors") continue;
    const SafetensorsFile after(item.path());
    for (const auto& [name, entry] : after.tensors()) {
      EXPECT_EQ(entry.dtype, "BF16");
      EXPECT_TRUE(stored_bytes(after, name) == stored_bytes(before, name));
      seen.insert(name);
    }
  }
  EXPECT_EQ(seen.size(), before.tensors().size());
}

INSTANTIATE_TEST_SUITE_P(Registered,
                         StudentOfEveryFamily,
                         ::testing::Combine(::testing::ValuesIn(supported_model_types().begin(),
                                                                supported_model_types().end()),
                                            ::testing::Values(Shape{true, false, false},
                                                              Shape{false, true, true})),
                         [](const auto& item) {
                           const Shape shape = std::get<Shape>(item.param);
                           return std::string(std::get<0>(item.param)) +
                                  (shape.tied ? "Tied" : "UntiedShardedBiased");
                         });

struct Form {
  const char* name;
  DmsSpec dms;
};

class StudentOfEveryForm : public ::testing::TestWithParam<Form> {};

TEST_P(StudentOfEveryForm, IsReadBackWithItsSettings) {
  const BaseFolder base(tiny_config("qwen3"));
  const fs::path out = base.beside("student");
  write_student_folder(base.path(), out, {.dms = GetParam().dms}, NoiseWeights(2));
  expect_same_settings(*load_spec(out, MetadataScope::folder_only).dms, GetParam().dms);
  const bool is_fastdms = !GetParam().dms.zero_after_rope;
  EXPECT_EQ(fs::exists(out / "dms_metadata.json"), is_fastdms);
  const Json config = Json::parse(read_text_file(out / "config.json", kMaxBytes));
  EXPECT_NE(config.contains("dms_window_size"), is_fastdms);
  // As a base of the next training its settings stay what they are, and a plain base takes them.
  const fs::path again = base.beside("again");
  write_student_folder(out, again, {}, NoiseWeights(2));
  expect_same_settings(*load_spec(again, MetadataScope::folder_only).dms, GetParam().dms);
}

INSTANTIATE_TEST_SUITE_P(
    Forms,
    StudentOfEveryForm,
    ::testing::Values(
        Form{"Defaults", {}},
        Form{"Layer", {.source = DmsSource::adapter, .per_layer = true}},
        Form{"BiasAndSinks", {.source = DmsSource::adapter, .alpha_bias = true, .sinks = 4}},
        Form{"Disabled", {.source = DmsSource::adapter, .disable_eviction = true}},
        Form{"Unshifted", {.source = DmsSource::adapter, .decision_shift = 0}},
        Form{"UnshiftedNeuron", {.decision_shift = 0, .window = 0}},
        Form{"Fractions", {.alpha_scale = -0.3, .alpha_offset = 1e-7, .target_cr = 3.3}},
        Form{"FastDms",
             {.decision_shift = 0, .zero_after_rope = false, .window = 17, .target_cr = 8}},
        Form{"FastDmsShifted", {.decision_shift = 1, .zero_after_rope = false}}),
    [](const auto& item) { return std::string(item.param.name); });

TEST(StudentFolder, AFastDmsBaseBecomesAnNvidiaStudent) {
  const BaseFolder base(tiny_config());
  base.folder().write("base/dms_metadata.json", R"({"window_size": 99})");
  const fs::path out = base.beside("student");
  write_student_folder(base.path(), out, {.dms = adapter()}, NoiseWeights(2));
  EXPECT_FALSE(fs::exists(out / "dms_metadata.json"));
  expect_same_settings(*load_spec(out, MetadataScope::folder_only).dms, adapter());
}

TEST(StudentFolder, AHeadOfItsOwnIsUntiedInTheConfig) {
  const BaseFolder base(tiny_config());
  Json config = read_json_file(base.path() / "config.json");
  config["tie_word_embeddings"] = true;
  base.folder().write("base/config.json", config.dump());
  const fs::path out = base.beside("student");
  write_student_folder(base.path(), out, {.dms = adapter()}, base.weights());
  EXPECT_EQ(read_json_file(out / "config.json")["tie_word_embeddings"], false);
  const ModelSpec spec = load_spec(out, MetadataScope::with_parent);
  EXPECT_FALSE(spec.tied_head);
  EXPECT_TRUE(spec.notes.empty());
}

TEST(StudentFolder, APlainModelStaysPlainAndCanHaveAnyType) {
  const BaseFolder base(tiny_config());
  for (const DType type : {DType::f32, DType::f16, DType::bf16}) {
    const fs::path out = base.beside(std::string(dtype_name(type)));
    write_student_folder(base.path(), out, {.dtype = type}, base.weights());
    const ModelSpec spec = load_spec(out, MetadataScope::with_parent);
    EXPECT_FALSE(spec.dms);
    const Json config = read_json_file(out / "config.json");
    EXPECT_EQ(parse_dtype(config.value("torch_dtype", "")), type);
    const auto written = open_checkpoint(out, spec);
    const WeightName weight = weight_names(spec).front();
    std::vector<float> expected = base.weights().all(weight);
    for (float& value : expected) {
      if (type == DType::bf16) value = to_float(to_bf16(value));
      if (type == DType::f16) value = half_to_float(to_half(value));
    }
    EXPECT_EQ(read_all(*written, weight), expected);
  }
}

TEST(StudentFolder, ABaseOfAConfigAloneIsEnough) {
  const BaseFolder base(tiny_config());
  fs::remove(base.path() / "model.safetensors");
  const fs::path out = base.beside("deep") / "er" / "student";
  write_student_folder(base.path(), out, {.dms = adapter()}, NoiseWeights(2));
  EXPECT_TRUE(load_spec(out, MetadataScope::with_parent).dms);
}

TEST(StudentFolder, TakesWhatBelongsToAModelAndLeavesTheRest) {
  const BaseFolder base(tiny_config());
  for (const char* name : {"tokenizer.json",
                           "tokenizer.model",
                           "special_tokens_map.json",
                           "chat_template.jinja",
                           "added_tokens.json",
                           "vocab.json",
                           "merges.txt",
                           "LICENSE",
                           "modeling_custom.py",
                           "additional_chat_templates/tool.jinja"}) {
    base.folder().write(fs::path("base") / name, std::string("of ") + name);
  }
  for (const char* name : {"README.md",
                           "pytorch_model.bin",
                           "optimizer.pt",
                           "trainer_state.json",
                           "original/consolidated.00.pth",
                           "extra.safetensors",
                           ".gitattributes"}) {
    base.folder().write(fs::path("base") / name, "not for the student");
  }
  // As Hugging Face's cache has its files: links into a store.
  fs::rename(base.path() / "tokenizer.json", base.beside("blob"));
  fs::create_symlink("../blob", base.path() / "tokenizer.json");
  const fs::path out = base.beside("student");
  write_student_folder(base.path(), out, {.dms = adapter()}, NoiseWeights(2));
  std::set<std::string> names;
  for (const auto& item : fs::recursive_directory_iterator(out)) {
    EXPECT_FALSE(item.is_symlink());
    if (item.is_regular_file()) names.insert(fs::relative(item.path(), out).string());
  }
  EXPECT_EQ(names,
            (std::set<std::string>{"config.json",
                                   "model.safetensors",
                                   "generation_config.json",
                                   "tokenizer_config.json",
                                   "tokenizer.json",
                                   "tokenizer.model",
                                   "special_tokens_map.json",
                                   "chat_template.jinja",
                                   "added_tokens.json",
                                   "vocab.json",
                                   "merges.txt",
                                   "LICENSE",
                                   "modeling_custom.py",
                                   "additional_chat_templates/tool.jinja"}));
  EXPECT_EQ(read_text_file(out / "tokenizer.json", 100), "of tokenizer.json");
}

TEST(StudentFolder, NotesAWindowThatNvidiasCodeRefuses) {
  const BaseFolder qwen3(tiny_config("qwen3"));
  const BaseFolder llama(tiny_config("llama"));
  const auto notes = [](const BaseFolder& base, int64_t window) {
    DmsSpec dms = adapter();
    dms.window = window;
    return write_student_folder(base.path(), base.beside("s"), {.dms = dms}, NoiseWeights(2));
  };
  EXPECT_TRUE(notes(qwen3, 257).empty());
  const std::vector<std::string> small = notes(qwen3, 256);
  ASSERT_EQ(small.size(), 1u);
  EXPECT_NE(small.front().find("dms_window_size 256"), std::string::npos) << small.front();
  EXPECT_TRUE(notes(llama, 64).empty());  // their code does not have this family at all
}

}  // namespace
}  // namespace dms::train
