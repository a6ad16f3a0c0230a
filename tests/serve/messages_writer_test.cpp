#include "serve/apis/messages_writer.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/chat_chunks.h"

namespace dms::serve {
namespace {

using testing::ElementsAre;
using namespace testing_support;

OutJson stopped_by(const std::string& text, const char* reason = "stop") {
  OutJson out = chunk(OutJson::object(), reason);
  out["choices"][0]["stop_reason"] = text;
  return out;
}

/// The answer's "stop_reason" and "stop_sequence".
std::pair<OutJson, OutJson> end_of(const OutJson& last_chunk) {
  MessagesWriter writer(10, {"END"});
  const auto events = stream(writer, {chunk({{"content", "a"}}), last_chunk});
  const OutJson& delta = events[events.size() - 2].data["delta"];
  return {delta["stop_reason"], delta["stop_sequence"]};
}

TEST(MessagesWriter, StreamsATextAsABlock) {
  MessagesWriter writer(10, {});
  const auto events = stream(
      writer,
      {chunk({{"content", "Hel"}}), chunk({{"content", "lo"}}), chunk(OutJson::object(), "stop")});
  EXPECT_THAT(names_of(events),
              ElementsAre("message_start",
                          "content_block_start",
                          "content_block_delta",
                          "content_block_delta",
                          "content_block_stop",
                          "message_delta",
                          "message_stop"));
  EXPECT_EQ(json_text(events[0].data),
            R"({"type":"message_start","message":{"id":"msg_1a","type":"message","role":)"
            R"("assistant","model":"demo","content":[],"stop_reason":null,"stop_sequence":null,)"
            R"("usage":{"input_tokens":10,"cache_creation_input_tokens":0,)"
            R"("cache_read_input_tokens":0,"output_tokens":0}}})");
  EXPECT_EQ(
      json_text(events[1].data),
      R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})");
  EXPECT_EQ(
      json_text(events[2].data),
      R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}})");
  EXPECT_EQ(json_text(events[5].data),
            R"({"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},)"
            R"("usage":{"input_tokens":6,"cache_creation_input_tokens":0,)"
            R"("cache_read_input_tokens":4,"output_tokens":5,"output_tokens_details":)"
            R"({"thinking_tokens":2},"dms":{"held_tokens":3}}})");
  EXPECT_EQ(json_text(events[6].data), R"({"type":"message_stop"})");
}

TEST(MessagesWriter, StreamsThoughtsTextAndCallsOneAfterTheOther) {
  MessagesWriter writer(10, {});
  const auto events = stream(writer,
                             {chunk({{"reasoning_content", "Hm"}}),
                              chunk({{"content", "I look."}}),
                              call_chunk(0, "call_1", {{"name", "look"}, {"arguments", ""}}),
                              call_chunk(0, nullptr, {{"arguments", R"({"at":1})"}}),
                              call_chunk(1, "call_2", {{"name", "see"}, {"arguments", "{}"}}),
                              chunk(OutJson::object(), "tool_calls")});
  EXPECT_THAT(names_of(events),
              ElementsAre("message_start",
                          "content_block_start",
                          "content_block_delta",
                          "content_block_stop",
                          "content_block_start",
                          "content_block_delta",
                          "content_block_stop",
                          "content_block_start",
                          "content_block_delta",
                          "content_block_stop",
                          "content_block_start",
                          "content_block_delta",
                          "content_block_stop",
                          "message_delta",
                          "message_stop"));
  EXPECT_EQ(json_text(events[1].data["content_block"]),
            R"({"type":"thinking","thinking":"","signature":""})");
  EXPECT_EQ(json_text(events[2].data["delta"]), R"({"type":"thinking_delta","thinking":"Hm"})");
  EXPECT_EQ(json_text(events[7].data["content_block"]),
            R"({"type":"tool_use","id":"call_1","name":"look","input":{}})");
  EXPECT_EQ(json_text(events[8].data["delta"]),
            R"({"type":"input_json_delta","partial_json":"{\"at\":1}"})");
  EXPECT_EQ(events[12].data["index"], 3);
  EXPECT_EQ(events[13].data["delta"]["stop_reason"], "tool_use");
}

TEST(MessagesWriter, AWholeAnswerHasTheSameBlocks) {
  const OutJson answer =
      whole(MessagesWriter(10, {}),
            {chunk({{"reasoning_content", "Hm"}}),
             chunk({{"content", "Yes"}}),
             call_chunk(0, "call_1", {{"name", "f"}, {"arguments", R"({"a": [1]})"}}),
             chunk({{"content", "So"}}),
             chunk(OutJson::object(), "tool_calls")});
  EXPECT_EQ(json_text(answer["content"]),
            R"([{"type":"thinking","thinking":"Hm","signature":""},{"type":"text","text":"Yes"},)"
            R"({"type":"tool_use","id":"call_1","name":"f","input":{"a":[1]}},)"
            R"({"type":"text","text":"So"}])");
  EXPECT_EQ(answer["stop_reason"], "tool_use");
  EXPECT_EQ(answer["usage"]["cache_read_input_tokens"], 4);
}

TEST(MessagesWriter, ArgumentsThatAreNoObjectAreNone) {
  for (const std::string& arguments :
       {std::string("{\"a\": "), std::string("[1]"), std::string(100'000, '[')}) {
    const OutJson answer = whole(MessagesWriter(1, {}),
                                 {call_chunk(0, "x", {{"name", "f"}, {"arguments", arguments}}),
                                  chunk(OutJson::object(), "length")});
    EXPECT_EQ(answer["content"][0]["input"], OutJson::object());
  }
}

TEST(MessagesWriter, NamesWhatEndedTheAnswer) {
  using End = std::pair<OutJson, OutJson>;
  EXPECT_EQ(end_of(chunk(OutJson::object(), "stop")), (End{"end_turn", nullptr}));
  EXPECT_EQ(end_of(chunk(OutJson::object(), "length")), (End{"max_tokens", nullptr}));
  EXPECT_EQ(end_of(chunk(OutJson::object(), "tool_calls")), (End{"tool_use", nullptr}));
  EXPECT_EQ(end_of(chunk(OutJson::object(), "abort")), (End{"pause_turn", nullptr}));
  EXPECT_EQ(end_of(stopped_by("END")), (End{"stop_sequence", "END"}));
  EXPECT_EQ(end_of(stopped_by("a template's")), (End{"end_turn", nullptr}));
  EXPECT_EQ(end_of(stopped_by("END", "tool_calls")), (End{"tool_use", nullptr}));
}

TEST(MessagesWriter, AnAnswerOfNothingIsAnEmptyText) {
  const OutJson answer = whole(MessagesWriter(1, {}), {chunk(OutJson::object(), "stop")});
  EXPECT_EQ(json_text(answer["content"]), R"([{"type":"text","text":""}])");
}

TEST(MessagesWriter, AFailureIsAnEvent) {
  MessagesWriter writer(1, {});
  std::string text = writer.chunk(chunk({{"content", "Hel"}}));
  text += writer.failure(ApiError(500, "no memory"));
  EXPECT_EQ(json_text(parse_events(text).back().data),
            R"({"type":"error","error":{"type":"api_error","message":"no memory"}})");
}

}  // namespace
}  // namespace dms::serve
