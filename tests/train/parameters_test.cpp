// A student's weights: types, which are trained, and what a pattern may say.

#include "train/parameters.h"

#include <set>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "train/tiny_student.h"

namespace dms::train {
namespace {

using fixture::NoiseWeights;
using fixture::TinyShape;

const TinyShape kWithAdapter{.qkv_bias = true, .dms = DmsSpec{.source = DmsSource::adapter}};

Parameters parameters_of(const TinyShape& shape, at::ScalarType type = at::kFloat) {
  return Parameters(fixture::tiny_spec(shape), NoiseWeights(1), type);
}

std::set<std::string> trained(const std::vector<std::string>& patterns) {
  Parameters parameters = parameters_of(kWithAdapter);
  parameters.train(patterns);
  std::set<std::string> names;
  int64_t count = 0;
  for (const Parameter& parameter : parameters.all()) {
    EXPECT_EQ(parameter.value.requires_grad(), parameter.trained);
    if (!parameter.trained) continue;
    names.insert(parameter.name.name);
    count += parameter.value.numel();
  }
  EXPECT_EQ(parameters.trained_count(), count);
  return names;
}

std::set<std::string> in_both_layers(const std::vector<std::string>& names) {
  std::set<std::string> all;
  for (const std::string& name : names) {
    for (const char* layer : {"0", "1"}) all.insert(std::string("model.layers.") + layer + name);
  }
  return all;
}

TEST(Parameters, ReadsEveryWeightInItsType) {
  const NoiseWeights source(1);
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const Parameters parameters = parameters_of(kWithAdapter, type);
    ASSERT_EQ(parameters.all().size(), weight_names(fixture::tiny_spec(kWithAdapter)).size());
    for (const Parameter& parameter : parameters.all()) {
      const bool wide = is_adapter(parameter.name.role) && type == at::kBFloat16;
      const at::ScalarType expected = wide ? at::kFloat : type;
      EXPECT_EQ(parameter.value.scalar_type(), expected) << parameter.name.name;
      const at::Tensor values =
          at::tensor(source.all(parameter.name)).view(parameter.name.shape).to(expected);
      EXPECT_TRUE(at::equal(parameter.value, values)) << parameter.name.name;
      EXPECT_FALSE(parameter.trained);
    }
  }
}

TEST(Parameters, FindsWeightsByRole) {
  const Parameters parameters = parameters_of(kWithAdapter);
  EXPECT_EQ(parameters.get(WeightRole::embedding).size(0), 33);
  EXPECT_EQ(parameters.get(WeightRole::dms_alpha, 1).size(0), 2);
  EXPECT_FALSE(parameters.get(WeightRole::q_norm, 0).defined());
  EXPECT_FALSE(parameters.get(WeightRole::down, 2).defined());
}

TEST(Parameters, AdapterAndAllAreWords) {
  EXPECT_EQ(trained({"adapter"}),
            in_both_layers({".self_attn.dms_proj_alpha.weight",
                            ".self_attn.dms_proj_alpha.bias",
                            ".self_attn.dms_proj_alpha_norm.weight"}));
  EXPECT_EQ(trained({"all"}).size(), weight_names(fixture::tiny_spec(kWithAdapter)).size());
}

TEST(Parameters, StarsStandForAnything) {
  EXPECT_EQ(
      trained({"model.layers.*.mlp.*"}),
      in_both_layers({".mlp.gate_proj.weight", ".mlp.up_proj.weight", ".mlp.down_proj.weight"}));
  EXPECT_EQ(trained({"*.1.*.q_proj.weight", "lm_head.weight"}),
            (std::set<std::string>{"model.layers.1.self_attn.q_proj.weight", "lm_head.weight"}));
  EXPECT_EQ(trained({"*norm.weight"}).size(), 2U * 3U + 1U);
  EXPECT_EQ(trained({"*q_proj*", "adapter"}).size(), 2U * (2U + 3U));
}

TEST(Parameters, NamesThePatternThatMatchesNothing) {
  Parameters parameters = parameters_of(kWithAdapter);
  for (const char* pattern :
       {"model.layers.7.*", "q_proj", "lm_head", "*.weights", "embed_tokens.weight"}) {
    const std::string text = testing_support::input_error([&] {
      parameters.train({"adapter", pattern});
    });
    testing_support::expect_parts(text, {"dms.train", pattern});
  }
  Parameters plain = parameters_of({});
  testing_support::expect_parts(testing_support::input_error([&] { plain.train({"adapter"}); }),
                                {"dms.train", "adapter"});
}

}  // namespace
}  // namespace dms::train
