// What a chat's request comes to: its prompt, and what its answers say of their ends.

#include "serve/prepared.h"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "serve/facts.h"
#include "serve/form_events.h"

namespace dms::serve {
namespace {

using testing_support::facts;
using testing_support::finished;
using testing_support::texts;

class PreparedChat : public testing::Test {
 protected:
  PreparedChat() {
    model_.facts = facts();
    model_.facts.context = 4096;
    model_.facts.eos_ids = {*model_.tokenizer.eos_id()};
    model_.chat.chat_template.emplace("{% for m in messages %}{{ m.content }}|{% endfor %}",
                                      "test");
  }

  Prepared prepare(const std::string& fields) const {
    return prepare_chat("{" + fields + "}", model_, planner_);
  }

  /// Of an answer "out " with more tokens behind it.
  bool names_a_stop(const std::string& stops, const std::vector<int32_t>& more) const {
    FinishedEvent end = finished("", "out ");
    end.result.ids = model_.tokenizer.encode("out ", false);
    end.result.ids.insert(end.result.ids.end(), more.begin(), more.end());
    const Prepared prepared =
        prepare(R"("messages": [{"role": "user", "content": "a"}], "stop": )" + stops);
    return prepared.form->finish(0, end).back()["choices"][0].contains("stop_reason");
  }

  ServedModel model_{.facts = {}, .tokenizer = texts().tokenizer()};
  DocumentSettings settings_;
  Documents documents_{settings_};
  Planner planner_{.check = [](const CacheOptions&) { return CachePlan{.max_tokens = 4096}; },
                   .documents = documents_};
};

TEST_F(PreparedChat, NamesStopTextsOfTheRequestAlone) {
  model_.chat.stops = {"of"};
  const std::vector<int32_t> more = model_.tokenizer.encode("of", false);
  EXPECT_TRUE(names_a_stop(R"(["of"])", more));
  EXPECT_FALSE(names_a_stop(R"(["wood"])", more));
}

TEST_F(PreparedChat, LeavesAgentsLinesOutOfWhatSaysMore) {
  model_.chat.strips_agent_lines = true;
  const auto prompt_of = [&](const std::string& messages) {
    const Prepared prepared = prepare(R"("messages": [)" + messages + "]");
    return model_.tokenizer.decode(prepared.requests.front().prompt);
  };
  const std::string date = R"({"role": "system", "content": "Today's date: 2026-11-29"})";
  EXPECT_EQ(prompt_of(date + R"(, {"role": "user", "content": "Hello"})"), "Hello|");
  EXPECT_EQ(prompt_of(date), "Today's date: 2026-11-29|");
}

TEST_F(PreparedChat, NamesNoEndToken) {
  const int32_t eos = model_.facts.eos_ids.front();
  const std::string stops = OutJson::array({model_.tokenizer.token(eos)->text}).dump();
  EXPECT_FALSE(names_a_stop(stops, {eos}));
  EXPECT_TRUE(names_a_stop(stops + R"(, "ignore_eos": true)", {eos}));
  EXPECT_FALSE(names_a_stop(
      stops + R"(, "ignore_eos": true, "stop_token_ids": [)" + std::to_string(eos) + "]", {eos}));
}

}  // namespace
}  // namespace dms::serve
