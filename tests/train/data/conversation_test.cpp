#include "train/data/conversation.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "train/data/fixture.h"

namespace dms::train::data {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;
using namespace train::fixture;

const Json& two_turns() {
  static const Json messages = Json::parse(R"([
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Two and two?"},
    {"role": "assistant", "content": "Four."},
    {"role": "user", "content": "And three?"},
    {"role": "assistant", "content": "Seven."}])");
  return messages;
}

/// The text of the tokens that count, stretch by stretch.
std::vector<std::string> targets(const ModelText& model, const Document& document) {
  std::vector<std::string> texts;
  std::vector<int32_t> run;
  for (size_t i = 0; i <= document.ids.size(); ++i) {
    if (i < document.ids.size() && document.loss[i] != 0) {
      run.push_back(document.ids[i]);
    } else if (!run.empty()) {
      texts.push_back(model.tokenizer.decode(run, false));
      run.clear();
    }
  }
  return texts;
}

class Conversations : public ::testing::Test {
 protected:
  ModelText model(const std::string& chat_template) const {
    return load_model_text(model_with_template(folder_, chat_template));
  }
  TempFolder folder_;
};

TEST_F(Conversations, AreOneTextWithOneStartToken) {
  const ModelText m = model(kPlainTemplate);
  const Document document =
      ConversationEncoder(m, Json::object(), LossOn::all).encode(two_turns(), "r");
  const std::string text =
      "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
      "<|start_header_id|>user<|end_header_id|>\n\nTwo and two?<|eot_id|>"
      "<|start_header_id|>assistant<|end_header_id|>\n\nFour.<|eot_id|>"
      "<|start_header_id|>user<|end_header_id|>\n\nAnd three?<|eot_id|>"
      "<|start_header_id|>assistant<|end_header_id|>\n\nSeven.<|eot_id|>";
  EXPECT_EQ(m.tokenizer.decode(document.ids, false), text);
  EXPECT_EQ(document.ids, m.tokenizer.encode(text, false));
  EXPECT_TRUE(document.loss.empty()) << "every token counts";
}

TEST_F(Conversations, LossOnTheAssistantCountsItsTurnsAlone) {
  const ModelText m = model(kPlainTemplate);
  const Document document =
      ConversationEncoder(m, Json::object(), LossOn::assistant).encode(two_turns(), "r");
  EXPECT_EQ(document.ids,
            ConversationEncoder(m, Json::object(), LossOn::all).encode(two_turns(), "r").ids)
      << "what counts must not change the tokens";
  EXPECT_EQ(targets(m, document),
            (std::vector<std::string>{"Four.<|eot_id|>", "Seven.<|eot_id|>"}));
}

TEST_F(Conversations, TokensAcrossAnEdgeCount) {
  // No special token stands between header and answer, and none at its end.
  const ModelText m = model(
      "{% for m in messages %}{{ m.role }}:{{ m.content }}\n{% endfor %}"
      "{% if add_generation_prompt %}assistant:{% endif %}");
  const Json messages =
      Json::parse(R"([{"role": "user", "content": "hm"}, {"role": "assistant", "content": "ok"}])");
  const Document document =
      ConversationEncoder(m, Json::object(), LossOn::assistant).encode(messages, "r");
  const std::vector<std::string> counted = targets(m, document);
  ASSERT_EQ(counted.size(), 1u);
  EXPECT_NE(counted[0].find("ok\n"), std::string::npos);
  EXPECT_EQ(counted[0].find("assistant"), std::string::npos);
}

TEST_F(Conversations, TemplateArgumentsReachTheTemplate) {
  const ModelText m = model("{% if enable_thinking %}think{% else %}talk{% endif %}");
  const auto text = [&](const Json& kwargs) {
    const Document d = ConversationEncoder(m, kwargs, LossOn::all).encode(two_turns(), "r");
    return m.tokenizer.decode(d.ids, true);
  };
  EXPECT_EQ(text({{"enable_thinking", true}}), "think");
  EXPECT_EQ(text({{"enable_thinking", false}}), "talk");
}

// As Qwen3 does with the thoughts of earlier answers.
TEST_F(Conversations, TemplateThatRewritesEarlierTurnsIsRefusedForLossOnTheAssistant) {
  const ModelText m = model(
      "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' and loop.last %}"
      "(thought){% endif %}{{ m.content }}{% endfor %}"
      "{% if add_generation_prompt %}<assistant>{% endif %}");
  const ConversationEncoder encoder(m, Json::object(), LossOn::assistant);
  expect_parts(input_error([&] { encoder.encode(two_turns(), "data.jsonl:5"); }),
               {"data.jsonl:5: message 2", "writes this turn differently", "loss_on: all"});
  const Json one_answer(two_turns().begin(), two_turns().begin() + 3);
  EXPECT_EQ(targets(m, encoder.encode(one_answer, "r")),
            (std::vector<std::string>{"(thought)Four."}));
  EXPECT_NO_THROW(ConversationEncoder(m, Json::object(), LossOn::all).encode(two_turns(), "r"));
}

TEST_F(Conversations, BadMessagesAreNamed) {
  const ModelText m = model(kPlainTemplate);
  const ConversationEncoder encoder(m, Json::object(), LossOn::all);
  const auto error = [&](const char* messages) {
    return input_error([&] { encoder.encode(Json::parse(messages), "data.jsonl:5"); });
  };
  expect_parts(error(R"([{"content": "x"}])"), {"data.jsonl:5: message 0: role", "missing"});
  expect_parts(error(R"([{"role": 3, "content": "x"}])"), {"message 0: role", "a string"});
  expect_parts(error(R"([{"role": "user", "content": "x"}, {"role": "user"}])"),
               {"data.jsonl:5: message 1: content", "missing"});
  expect_parts(error(R"(["hello"])"), {"data.jsonl:5: message 0", "a JSON object"});
}

TEST_F(Conversations, TheTemplatesOwnRefusalNamesTheRecord) {
  const ModelText m = model("{{ raise_exception('roles must alternate') }}");
  const ConversationEncoder encoder(m, Json::object(), LossOn::all);
  expect_parts(input_error([&] { encoder.encode(two_turns(), "data.jsonl:5"); }),
               {"data.jsonl:5", "roles must alternate"});
}

TEST_F(Conversations, ModelWithoutTemplateIsRefused) {
  const ModelText demo = load_model_text(demo_model());
  expect_parts(input_error([&] { ConversationEncoder(demo, Json::object(), LossOn::all); }),
               {"no chat template", "kind text"});
}

}  // namespace
}  // namespace dms::train::data
