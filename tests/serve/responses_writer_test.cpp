#include "serve/apis/responses_writer.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/chat_chunks.h"

namespace dms::serve {
namespace {

using testing::ElementsAre;
using namespace testing_support;

OutJson echo() {
  return {{"instructions", std::string(5000, 'x')},
          {"tools", OutJson::array({std::string(5000, 'y')})},
          {"temperature", 0.5}};
}

const OutJson& last_response(const std::vector<NamedEvent>& events) {
  return events.back().data["response"];
}

TEST(ResponsesWriter, StreamsATextAsAMessage) {
  ResponsesWriter writer(echo());
  const auto events = stream(
      writer,
      {chunk({{"content", "Hel"}}), chunk({{"content", "lo"}}), chunk(OutJson::object(), "stop")});
  EXPECT_THAT(names_of(events),
              ElementsAre("response.created",
                          "response.in_progress",
                          "response.output_item.added",
                          "response.content_part.added",
                          "response.output_text.delta",
                          "response.output_text.delta",
                          "response.output_text.done",
                          "response.content_part.done",
                          "response.output_item.done",
                          "response.completed"));
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].data["type"], events[i].name);
    EXPECT_EQ(events[i].data["sequence_number"], i);
  }
  EXPECT_EQ(json_text(events[4].data),
            R"({"type":"response.output_text.delta","item_id":"msg_1a_0","output_index":0,)"
            R"("content_index":0,"delta":"Hel","logprobs":[],"sequence_number":4})");
  EXPECT_EQ(events[6].data["text"], "Hello");
  EXPECT_EQ(json_text(events[8].data["item"]),
            R"({"id":"msg_1a_0","type":"message","role":"assistant","content":[{"type":)"
            R"("output_text","text":"Hello","annotations":[],"logprobs":[]}],"status":)"
            R"("completed"})");
  const OutJson& response = last_response(events);
  EXPECT_EQ(response["id"], "resp_1a");
  EXPECT_EQ(response["status"], "completed");
  EXPECT_EQ(response["output"], OutJson::array({events[8].data["item"]}));
  EXPECT_EQ(json_text(response["usage"]),
            R"({"input_tokens":10,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":)"
            R"(0},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":2},)"
            R"("total_tokens":15,"dms":{"held_tokens":3}})");
}

TEST(ResponsesWriter, RepeatsWhatIsLongAtTheEndOnly) {
  ResponsesWriter writer(echo());
  const auto events = stream(writer, {chunk(OutJson::object(), "stop")});
  const OutJson& first = events[0].data["response"];
  EXPECT_TRUE(first["instructions"].is_null());
  EXPECT_EQ(first["tools"], OutJson::array());
  EXPECT_EQ(first["temperature"], 0.5);
  EXPECT_EQ(last_response(events)["instructions"], echo()["instructions"]);
  EXPECT_EQ(last_response(events)["tools"], echo()["tools"]);
}

TEST(ResponsesWriter, StreamsThoughtsTextAndCallsOneAfterTheOther) {
  ResponsesWriter writer(OutJson::object());
  const auto events = stream(writer,
                             {chunk({{"reasoning_content", "Hm"}}),
                              chunk({{"reasoning_content", "!"}, {"content", "I look."}}),
                              call_chunk(0, "call_1", {{"name", "look"}, {"arguments", ""}}),
                              call_chunk(0, nullptr, {{"arguments", R"({"at")"}}),
                              call_chunk(0, nullptr, {{"arguments", R"(:1})"}}),
                              call_chunk(1, "call_2", {{"name", "see"}, {"arguments", "{}"}}),
                              chunk(OutJson::object(), "tool_calls")});
  EXPECT_THAT(names_of(events),
              ElementsAre("response.created",
                          "response.in_progress",
                          "response.output_item.added",
                          "response.content_part.added",
                          "response.reasoning_text.delta",
                          "response.reasoning_text.delta",
                          "response.reasoning_text.done",
                          "response.content_part.done",
                          "response.output_item.done",
                          "response.output_item.added",
                          "response.content_part.added",
                          "response.output_text.delta",
                          "response.output_text.done",
                          "response.content_part.done",
                          "response.output_item.done",
                          "response.output_item.added",
                          "response.function_call_arguments.delta",
                          "response.function_call_arguments.delta",
                          "response.function_call_arguments.done",
                          "response.output_item.done",
                          "response.output_item.added",
                          "response.function_call_arguments.delta",
                          "response.function_call_arguments.done",
                          "response.output_item.done",
                          "response.completed"));
  EXPECT_EQ(json_text(events[15].data["item"]),
            R"({"id":"fc_1a_2","type":"function_call","call_id":"call_1","name":"look",)"
            R"("arguments":"","status":"in_progress"})");
  EXPECT_EQ(json_text(events[18].data),
            R"({"type":"response.function_call_arguments.done","item_id":"fc_1a_2",)"
            R"("output_index":2,"name":"look","arguments":"{\"at\":1}","sequence_number":18})");
  EXPECT_EQ(json_text(last_response(events)["output"]),
            R"([{"id":"rs_1a_0","type":"reasoning","summary":[],"content":[{"type":)"
            R"("reasoning_text","text":"Hm!"}],"status":"completed"},)"
            R"({"id":"msg_1a_1","type":"message","role":"assistant","content":[{"type":)"
            R"("output_text","text":"I look.","annotations":[],"logprobs":[]}],"status":)"
            R"("completed"},)"
            R"({"id":"fc_1a_2","type":"function_call","call_id":"call_1","name":"look",)"
            R"("arguments":"{\"at\":1}","status":"completed"},)"
            R"({"id":"fc_1a_3","type":"function_call","call_id":"call_2","name":"see",)"
            R"("arguments":"{}","status":"completed"}])");
}

TEST(ResponsesWriter, AWholeAnswerIsWhatAStreamEndsWith) {
  for (const char* reason : {"tool_calls", "length"}) {
    const std::vector<OutJson> chunks{chunk({{"reasoning_content", "Hm"}}),
                                      chunk({{"content", "Yes"}}),
                                      call_chunk(0, "call_1", {{"name", "f"}, {"arguments", "{}"}}),
                                      call_chunk(1, "call_2", {{"name", "g"}, {"arguments", "{}"}}),
                                      chunk({{"content", "And"}}),
                                      chunk(OutJson::object(), reason)};
    ResponsesWriter streamed(echo());
    const auto events = stream(streamed, chunks);
    const OutJson answer = whole(ResponsesWriter(echo()), chunks);
    EXPECT_EQ(answer, last_response(events));
    EXPECT_EQ(answer["output"][2]["status"], "completed");
    EXPECT_EQ(answer["output"].size(), 5U);
  }
}

TEST(ResponsesWriter, SaysWhereAnAnswerWasCut) {
  ResponsesWriter writer(OutJson::object());
  const auto events =
      stream(writer, {chunk({{"content", "Hel"}}), chunk(OutJson::object(), "length")});
  EXPECT_EQ(events.back().name, "response.incomplete");
  const OutJson& response = last_response(events);
  EXPECT_EQ(response["status"], "incomplete");
  EXPECT_EQ(response["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(response["output"][0]["status"], "incomplete");
}

TEST(ResponsesWriter, AnAnswerOfNothingIsAnEmptyMessage) {
  const OutJson answer =
      whole(ResponsesWriter(OutJson::object()), {chunk(OutJson::object(), "stop")});
  ASSERT_EQ(answer["output"].size(), 1U);
  EXPECT_EQ(answer["output"][0]["content"][0]["text"], "");
}

TEST(ResponsesWriter, FailsWithWhatThereIs) {
  ResponsesWriter writer(echo());
  std::string text = writer.chunk(chunk({{"content", "Hel"}}));
  text += writer.failure(ApiError(500, "no memory"));
  const auto events = parse_events(text);
  EXPECT_EQ(events.back().name, "response.failed");
  const OutJson& response = last_response(events);
  EXPECT_EQ(response["status"], "failed");
  EXPECT_EQ(response["error"], (OutJson{{"code", "server_error"}, {"message", "no memory"}}));
  EXPECT_EQ(response["output"][0]["status"], "incomplete");
  EXPECT_EQ(response["tools"], echo()["tools"]);
  const OutJson aborted = whole(ResponsesWriter(OutJson::object()),
                                {chunk({{"content", "a"}}), chunk(OutJson::object(), "abort")});
  EXPECT_EQ(aborted["status"], "failed");
  EXPECT_EQ(aborted["output"][0]["content"][0]["text"], "a");
}

}  // namespace
}  // namespace dms::serve
