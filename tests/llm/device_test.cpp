// A model is opened on the device that its options name; what that lacks is refused before weights
// are read.

#include "llm/device.h"

#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cpu/cpu_model.h"
#include "dms/llm.h"
#include "support/errors.h"

namespace dms::llm {
namespace {

using testing::HasSubstr;

const std::filesystem::path kDemo = std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo";

std::string refusal_of(const ModelOptions& options) {
  return testing_support::input_error(
      [&] { ModelSource::with_random_weights(kDemo / "config.json", 1, options); });
}

TEST(Device, OneThatTheProgramDoesNotHaveIsRefused) {
  EXPECT_THAT(refusal_of({.device = "abacus"}), HasSubstr("device: unknown device (got abacus"));
  EXPECT_THAT(refusal_of({.device = "abacus"}), HasSubstr("expected cpu"));
  EXPECT_THAT(refusal_of({.device = "cuda"}), HasSubstr("not built in"));
  EXPECT_THAT(refusal_of({.device = "cuda"}), HasSubstr("DMS_CUDA=ON"));
}

int opened = 0;

/// The CPU under another name, that has no weights of its own name but "half".
void add_half_device() {
  Device device = find_device("cpu");
  device.name = "half";
  device.check = [](const ModelSpec&, const cpu::ResolvedModelOptions& options) {
    if (options.weights == "half") return;
    throw InputError({.field = "weights", .what = "is not on the device half"});
  };
  device.plan = [](const ModelSpec& spec,
                   const cpu::ResolvedModelOptions& options,
                   const CacheOptions& cache) -> std::shared_ptr<const engine::SequencePlan> {
    if (cache.policy.empty()) return cpu::make_plan(spec, options, cache);
    throw InputError({.field = "policy", .what = "is not on the device half"});
  };
  device.open = [](ModelSpec spec,
                   std::unique_ptr<WeightSource> source,
                   const cpu::ResolvedModelOptions& options) {
    ++opened;
    return find_device("cpu").open(std::move(spec), std::move(source), options);
  };
  add_device(device);
}

TEST(Device, AnotherOneChecksPlansAndOpens) {
  add_half_device();
  EXPECT_THAT(refusal_of({.device = "half"}), HasSubstr("weights: is not on the device half"));
  EXPECT_THAT(refusal_of({.weights = "half"}), HasSubstr("weights: unknown type"));
  EXPECT_THAT(refusal_of({.weights = "half", .device = "half", .draft = kDemo}),
              HasSubstr("draft: guesses ahead on the device cpu alone"));
  EXPECT_THAT(refusal_of({.device = "abacus"}), HasSubstr("expected cpu or half"));

  // Its memory is its limit.
  ModelSource::with_random_weights(
      kDemo / "config.json",
      1,
      {.weights = "half", .device = "half", .prefix_cache = true, .swap_bytes = 1 << 20});

  ModelSource source = ModelSource::with_random_weights(
      kDemo / "config.json", 1, {.weights = "half", .device = "half"});
  EXPECT_EQ(source.info().weights, "half");
  EXPECT_THAT(testing_support::input_error([&] { source.check(CacheOptions{.policy = "none"}); }),
              HasSubstr("policy: is not on the device half"));
  LLM llm(std::move(source));
  EXPECT_EQ(opened, 1);
  EXPECT_THAT(testing_support::input_error([&] { llm.check({.policy = "none"}); }),
              HasSubstr("policy: is not on the device half"));
  EXPECT_EQ(llm.new_session().tokens(), 0);
}

}  // namespace
}  // namespace dms::llm
