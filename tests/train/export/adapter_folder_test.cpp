#include "train/export/adapter_folder.h"

#include <string>

#include <gtest/gtest.h>

#include "model/spec/adapter.h"
#include "model/spec/safetensors.h"
#include "support/errors.h"
#include "support/file_limit.h"
#include "train/export/base_folder.h"

namespace dms::train {
namespace {

namespace fs = std::filesystem;
using testing_support::BaseFolder;
using testing_support::expect_parts;
using testing_support::FileLimit;
using testing_support::input_error;
using testing_support::NoiseWeights;
using testing_support::read_all;
using testing_support::run_error;
using testing_support::TempFolder;
using testing_support::tiny_config;

const DmsSpec kDms{.source = DmsSource::adapter,
                   .decision_shift = 0,
                   .per_layer = true,
                   .window = 31,
                   .alpha_scale = 9.5,
                   .alpha_offset = 0.25,
                   .alpha_bias = true,
                   .sinks = 3,
                   .target_cr = 5};

ModelSpec student_of(const ModelSpec& base) {
  ModelSpec spec = base;
  spec.dms = kDms;
  return spec;
}

class AdapterOfEveryFamily : public ::testing::TestWithParam<std::string_view> {};

TEST_P(AdapterOfEveryFamily, IsAppliedAsItWasWritten) {
  const BaseFolder base(tiny_config(GetParam()));
  const fs::path out = base.beside("adapter");
  const NoiseWeights trained(4);
  write_adapter_folder(out, student_of(base.spec()), 0.1, trained);
  ModelSpec spec = base.spec();
  apply_adapter(out, spec);
  EXPECT_EQ(spec.dms->decision_shift, kDms.decision_shift);
  EXPECT_EQ(spec.dms->per_layer, kDms.per_layer);
  EXPECT_EQ(spec.dms->window, kDms.window);
  EXPECT_EQ(spec.dms->alpha_scale, kDms.alpha_scale);
  EXPECT_EQ(spec.dms->alpha_offset, kDms.alpha_offset);
  EXPECT_EQ(spec.dms->alpha_bias, kDms.alpha_bias);
  EXPECT_EQ(spec.dms->sinks, kDms.sinks);
  EXPECT_EQ(spec.dms->target_cr, kDms.target_cr);
  const auto source = open_adapter(out, spec);
  for (const WeightName& weight : adapter_weight_names(spec)) {
    EXPECT_EQ(read_all(*source, weight), trained.all(weight)) << weight.name;  // float32: exact
  }
  const SafetensorsFile file(out / kAdapterWeightsFile);
  EXPECT_EQ(file.tensors().size(), 6u);
}

INSTANTIATE_TEST_SUITE_P(Registered,
                         AdapterOfEveryFamily,
                         ::testing::ValuesIn(supported_model_types().begin(),
                                             supported_model_types().end()),
                         [](const auto& item) { return std::string(item.param); });

TEST(AdapterFolder, ABorrowedChannelHasNoAdapter) {
  const TempFolder folder;
  ModelSpec spec = testing_support::spec_of(tiny_config());
  for (const std::optional<DmsSpec>& dms : {std::optional<DmsSpec>(), std::optional(DmsSpec{})}) {
    spec.dms = dms;
    expect_parts(
        input_error([&] { write_adapter_folder(folder.path() / "a", spec, 0.1, NoiseWeights(1)); }),
        {"separate_alpha", "no adapter"});
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(AdapterFolder, OnlyAnAdapterIsReplaced) {
  const TempFolder folder;
  const ModelSpec spec = student_of(testing_support::spec_of(tiny_config()));
  const fs::path out = folder.path() / "a";
  write_adapter_folder(out, spec, 0.1, NoiseWeights(1));
  write_adapter_folder(out, spec, 0.1, NoiseWeights(2));
  const auto source = open_adapter(out, spec);
  const WeightName weight = adapter_weight_names(spec).front();
  EXPECT_EQ(read_all(*source, weight), NoiseWeights(2).all(weight));
  folder.write("lora/adapter_config.json", "{}");
  folder.write("lora/adapter_model.safetensors", "x");
  for (const char* other : {"lora", "."}) {
    expect_parts(input_error([&] {
                   write_adapter_folder(folder.path() / other, spec, 0.1, NoiseWeights(1));
                 }),
                 {"an adapter's folder"});
  }
}

TEST(AdapterFolder, AFullDiskLeavesNothing) {
  const TempFolder folder;
  const ModelSpec spec = student_of(testing_support::spec_of(tiny_config()));
  const FileLimit limit(600);
  expect_parts(
      run_error([&] { write_adapter_folder(folder.path() / "a", spec, 0.1, NoiseWeights(1)); }),
      {"cannot be written"});
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

}  // namespace
}  // namespace dms::train
