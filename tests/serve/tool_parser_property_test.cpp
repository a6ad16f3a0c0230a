// Whatever a model writes, all of it comes out once: as text, or as what a call is written with.

#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "serve/tool_fixture.h"
#include "support/seed.h"
#include "support/shapes.h"

namespace dms::serve {
namespace {

using testing_support::Answer;
using testing_support::parse;
using testing_support::tools;

/// A text of each form with all that it has: text around, several calls, values of all kinds.
const std::vector<std::pair<std::string_view, std::string_view>>& written() {
  static const std::vector<std::pair<std::string_view, std::string_view>> texts{
      {"hermes",
       "Well.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": "
       "\"\\\"Ro\\u006de\\\"\", "
       "\"tags\": [1.5e3, true, null]}}\n{\"arguments\": \"{\\\"a\\\": 1}\", \"name\": \"add\"}\n"
       "</tool_call> and <tool_call>{\"name\": \"add\"}</tool_call>\n"},
      {"smollm2",
       R"(<tool_call>[{"name": "add", "arguments": {"a": {"b": []}}}, {"name": "add"},]</tool_call>)"},
      {"qwen3_coder",
       "Well.\n<tool_call>\n<function=weather>\n<parameter=city>\nNew <b>York</b>\n</parameter>\n"
       "<parameter=days>\n3\n</parameter></function>\n</tool_call>\n"
       "<tool_call><function=add></function></tool_call> so"},
      {"mistral",
       R"([TOOL_CALLS] [{"name": "add", "arguments": {"a": [[]]}}, {"name": "add"}] so)"},
      {"mistral_args", R"(So [TOOL_CALLS]weather[ARGS]{"city": "a]"}[TOOL_CALLS]add[ARGS]{} and)"},
      {"granite", R"(<|tool_call|>[{"name": "weather_now", "arguments": null}])"},
      {"phi4", R"(<|tool_call|>[{"name": "add", "arguments": {}}]<|/tool_call|>)"},
      {"llama3_json",
       R"(  {"name": "add", "parameters": {"a": "x;"}}; {"name": "add", "parameters": {}};)"},
      {"llama3_json",
       R"(<|python_tag|>{"type": "function", "name": "add", "parameters": {"a": 1}})"},
      {"pythonic",
       R"([weather(city='It\'s \x41', days=0x1F, tags=["""a"b""", -.5]), add(c={"k": (None, 'l': {}}),])"},
      {"pythonic", "So <|python_start|>add(a=[1, {'k': True,}])\nadd()<|python_end|> so"},
      {"smollm3_python",
       "So\n<code>\n# a comment\nwhere = weather(\"Rome\", days=2) # one\nprint(where); "
       "add(b=[1])\n"
       "</code> and <tool_call>{\"name\": \"add\"}</tool_call>"},
      {"gemma3",
       "`x` ```tool_code\nprint(weather('Rome', 3, tags=['a']))\n```\n```python\nadd()\n```"},
      {"functiongemma",
       "Well. <start_function_call>call:add{a:[1, <escape>x<b><escape>, {k:true}],b:-1.5}\n"
       "call:weather{city:<escape>Rome<escape>}<end_function_call> so"},
  };
  return texts;
}

/// An answer taken apart, a byte at a time.
struct Parts {
  Answer answer{};
  std::vector<std::string> calls{};  // what one call or several beside one another are written with
  bool is_whole = true;              // content and calls are all of the text, in its order
};

class Taker {
 public:
  explicit Taker(std::string_view text) : text_(text) {}

  void take(const ToolParser::Parts& parts) {
    out_.answer.add(parts);
    written_ += text_.substr(std::min(at_, text_.size()), parts.call_bytes);
    at_ += parts.call_bytes;
    if (parts.content.empty()) return;
    end_calls();
    out_.is_whole =
        out_.is_whole && text_.substr(std::min(at_, text_.size())).starts_with(parts.content);
    at_ += parts.content.size();
  }

  Parts finish() {
    end_calls();
    out_.is_whole = out_.is_whole && at_ == text_.size();
    return std::move(out_);
  }

 private:
  void end_calls() {
    if (!written_.empty()) out_.calls.push_back(std::exchange(written_, {}));
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string written_{};
  Parts out_{};
};

Parts take_apart(std::string_view form, std::string_view text) {
  ToolParser parser(*find_tool_form(form), tools());
  Taker taker(text);
  for (size_t i = 0; i < text.size(); ++i) taker.take(parser.push(text.substr(i, 1)));
  taker.take(parser.finish());
  Parts parts = taker.finish();
  for (std::string& call : parts.answer.calls) call += ")";
  return parts;
}

class ToolParserProperty : public testing::Test {
 protected:
  size_t below(size_t end) { return std::uniform_int_distribution<size_t>(0, end - 1)(random_); }

  std::vector<std::string_view> cut(std::string_view text) {
    std::vector<std::string_view> pieces;
    while (!text.empty()) {
      const size_t bytes = std::min(text.size(), 1 + below(12));
      pieces.push_back(text.substr(0, bytes));
      text.remove_prefix(bytes);
    }
    return pieces;
  }

  void expect_all_once(std::string_view form, std::string_view text) {
    SCOPED_TRACE(std::string(form) + ", seed " + std::to_string(seed_) + ": " + std::string(text));
    const Parts parts = take_apart(form, text);
    ASSERT_TRUE(parts.is_whole) << parts.answer.content;
    EXPECT_EQ(parse(form, cut(text)), parts.answer);
    // What calls are written with is nothing but calls, and each says what it said in the answer,
    // but for a last word or number whose end is not told by itself.
    std::vector<std::string> calls;
    for (const std::string& written : parts.calls) {
      const Answer alone = parse(form, written);
      EXPECT_EQ(alone.content, "") << written;
      calls.insert(calls.end(), alone.calls.begin(), alone.calls.end());
    }
    ASSERT_EQ(calls.size(), parts.answer.calls.size());
    for (size_t i = 0; i < calls.size(); ++i) {
      const std::string& said = parts.answer.calls[i];
      const bool is_whole = said.ends_with("})");
      if (!is_whole) calls[i].pop_back();
      EXPECT_EQ(calls[i], is_whole ? said : said.substr(0, calls[i].size()));
    }
  }

  uint64_t seed_ = dms::testing_support::seed();
  std::mt19937_64 random_{seed_};
};

TEST_F(ToolParserProperty, AllTextComesOutOnceWhereverItIsCut) {
  for (const auto& [form, text] : written()) {
    for (size_t end = 0; end <= text.size(); ++end) expect_all_once(form, text.substr(0, end));
  }
}

TEST_F(ToolParserProperty, AllTextComesOutOnceWhateverBreaksIt) {
  constexpr std::string_view kPieces[] = {"<",
                                          "`",
                                          "\"",
                                          "'",
                                          "}",
                                          "]",
                                          ")",
                                          "\\",
                                          "\n",
                                          ",",
                                          "1",
                                          "<tool_call>",
                                          "[TOOL_CALLS]",
                                          "</code>",
                                          "```",
                                          "\xff"};
  for (const auto& [form, text] : written()) {
    for (int64_t i = dms::testing_support::trials(80); i > 0; --i) {
      std::string broken(text);
      const size_t erased = below(4) == 0 ? below(9) : 0;
      const size_t at = below(text.size());
      broken.replace(at, erased, kPieces[below(std::size(kPieces))]);
      expect_all_once(form, broken);
    }
  }
}

size_t count(const Answer& answer, std::string_view word) {
  size_t count = 0;
  const auto add = [&](std::string_view text) {
    for (size_t at = 0; (at = text.find(word, at)) != std::string_view::npos; ++at) ++count;
  };
  add(answer.content);
  for (const std::string& call : answer.calls) add(call);
  return count;
}

/// Which makes it one of the keys beside a call's name and arguments, which mean nothing.
bool is_within_key(std::string_view text, size_t at) {
  for (const std::string_view key : {"\"arguments\"", "\"parameters\""}) {
    for (size_t begin = 0; (begin = text.find(key, begin)) != std::string_view::npos; ++begin) {
      if (begin < at && at < begin + key.size()) return true;
    }
  }
  return false;
}

/// Wherever it stands but for what has no meaning: such keys, comments and the names of results.
TEST_F(ToolParserProperty, AWordIsNeverDropped) {
  constexpr std::string_view kWord = "ZQX";
  for (const auto& [form, text] : written()) {
    const bool has_remarks =
        form == "smollm3_python" || text.find("\"type\"") != std::string_view::npos;
    if (has_remarks) continue;
    for (size_t at = 0; at <= text.size(); ++at) {
      if (is_within_key(text, at)) continue;
      std::string broken(text);
      broken.insert(at, kWord);
      EXPECT_EQ(count(parse(form, broken), kWord), 1U) << form << ": " << broken;
    }
  }
}

}  // namespace
}  // namespace dms::serve
