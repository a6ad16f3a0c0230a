// The endpoints without a socket; this thread is their I/O thread.

#include "serve/local_server.h"

#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "serve/engine_thread.h"
#include "serve/served_model.h"

namespace dms::serve {
namespace {

using nlohmann::json;
using ::testing::EndsWith;
using ::testing::HasSubstr;

const std::filesystem::path kDemo = std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo";

class LocalServerTest : public ::testing::Test {
 protected:
  LocalServerTest() {
    std::promise<void> is_ready;
    bool is_told = false;
    engine_ = std::make_unique<EngineThread>([] { return LLM(kDemo); },
                                             [&] {
                                               if (!std::exchange(is_told, true)) {
                                                 is_ready.set_value();
                                               }
                                             });
    is_ready.get_future().wait();
  }
  ~LocalServerTest() override {
    server_->halt();
    engine_.reset();  // before the server
  }

  void start(ServerSettings settings = {}) {
    settings.documents.memory_bytes = settings.slots.memory_bytes = int64_t{1} << 28;
    server_ = std::make_unique<LocalServer>(
        std::move(settings),
        describe_model(
            engine_->llm(), {}, {.folder = kDemo, .chat_template = plain_template(), .slots = 2}),
        *engine_,
        [](const std::string&) {});
  }

  std::shared_ptr<LocalExchange> ask(const std::string& method,
                                     const std::string& target,
                                     const std::string& body = {}) {
    return server_->submit(head_of(method, target, {{"Content-Type", "application/json"}}), body);
  }
  std::shared_ptr<LocalExchange> complete(json fields) {
    fields.update({{"prompt", "It was a dark night and"}, {"temperature", 0}});
    return ask("POST", "/v1/completions", fields.dump());
  }
  LocalAnswer next(LocalExchange& call) {
    server_->serve();
    return call.take();
  }
  /// All of it, once it is over.
  LocalAnswer finish(LocalExchange& call) {
    LocalAnswer all = call.take();
    while (!all.is_over) {
      LocalAnswer more = next(call);
      all.bytes += more.bytes;
      if (!more.headers.empty()) all.headers = more.headers;
      all.status = more.status;
      all.is_over = more.is_over;
      all.is_lost = more.is_lost;
    }
    return all;
  }
  void wait_until_idle() {
    while (engine_->llm().stats().running > 0) std::this_thread::yield();
  }

  std::unique_ptr<LocalServer> server_;
  std::unique_ptr<EngineThread> engine_;
};

TEST(HeadOf, FindsHeadersInAnyCaseAndDecodesThePath) {
  const RequestHead head =
      head_of("PUT",
              "/documents/a%20b?x=1%20",
              {{"AUTHORIZATION", "Bearer k"}, {"x-API-key", "k"}, {"Host", "h"}});
  EXPECT_EQ(head.method, "PUT");
  EXPECT_EQ(head.path, "/documents/a b");
  EXPECT_EQ(head.query, "x=1%20");
  EXPECT_EQ(head.authorization, "Bearer k");
  EXPECT_EQ(head.api_key, "k");
  EXPECT_EQ(head.host, "h");
  EXPECT_EQ(head.origin, "");
}

TEST_F(LocalServerTest, StreamsWhatItAnswersAsAWhole) {
  start();
  const auto whole = complete({{"max_tokens", 8}});
  const auto stream = complete({{"max_tokens", 8}, {"stream", true}});
  EXPECT_NE(whole->number(), stream->number());
  const LocalAnswer answer = finish(*whole);
  ASSERT_EQ(answer.status, 200);
  const std::string text = json::parse(answer.bytes)["choices"][0]["text"];
  EXPECT_FALSE(text.empty());

  const LocalAnswer streamed = finish(*stream);
  EXPECT_EQ(streamed.status, 200);
  EXPECT_EQ(streamed.headers.back().second, "text/event-stream; charset=utf-8");
  ASSERT_THAT(streamed.bytes, EndsWith("data: [DONE]\n\n"));
  std::string pieces;
  for (size_t at = 0; (at = streamed.bytes.find("data: {", at)) != std::string::npos; ++at) {
    const size_t end = streamed.bytes.find('\n', at);
    pieces += json::parse(streamed.bytes.substr(at + 6, end - at - 6))["choices"][0]["text"];
  }
  EXPECT_EQ(pieces, text);
}

TEST_F(LocalServerTest, AnswersWhatIsWrongWithARequest) {
  start({.api_keys = {"k"}, .max_body_bytes = 100});
  const auto told = [&](const RequestHead& head, const std::string& body) {
    const auto call = server_->submit(head, body);
    return finish(*call).status;
  };
  const Headers key{{"x-api-key", "k"}};
  EXPECT_EQ(told(head_of("GET", "/v1/models", {}), ""), 401);
  EXPECT_EQ(told(head_of("GET", "/nowhere", key), ""), 404);
  EXPECT_EQ(told(head_of("GET", "/v1/completions", key), ""), 405);
  EXPECT_EQ(told(head_of("POST", "/v1/completions", key), "{"), 400);
  EXPECT_EQ(told(head_of("POST", "/v1/completions", key), std::string(101, ' ')), 413);
  EXPECT_EQ(told(head_of("GET", "/v1/models", key), ""), 200);
  const auto counted = server_->submit(head_of("GET", "/metrics", key), "");
  EXPECT_THAT(finish(*counted).bytes,
              HasSubstr("dms:http_requests_total{handler=\"/v1/completions\",status=\"413\"} 1"));
}

TEST_F(LocalServerTest, SendsNoBodyWhereOnlyTheHeadIsAskedFor) {
  start();
  const LocalAnswer answer = finish(*ask("HEAD", "/v1/models"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.bytes, "");
}

TEST_F(LocalServerTest, EndsTheWorkOfWhoIsGone) {
  start();
  const auto call = complete({{"max_tokens", 4000}, {"ignore_eos", true}, {"stream", true}});
  while (next(*call).bytes.find("\"text\"") == std::string::npos) {
  }
  call->cancel();
  EXPECT_TRUE(finish(*call).is_lost);
  wait_until_idle();
  EXPECT_LT(engine_->llm().stats().generated_tokens, 4000);
}

TEST_F(LocalServerTest, GivesUpWhoTakesNothing) {
  start({.max_unread_bytes = 4096});
  const auto call = complete({{"max_tokens", 4000}, {"ignore_eos", true}, {"stream", true}});
  const auto other = complete({{"max_tokens", 200}, {"ignore_eos", true}});
  finish(*other);
  const LocalAnswer left = finish(*call);
  EXPECT_TRUE(left.is_lost);
  EXPECT_GT(left.bytes.size(), 4096u);
  EXPECT_LT(left.bytes.size(), size_t{2} * 4096);
}

TEST_F(LocalServerTest, EndsAllThatIsAskedWhenItIsStopped) {
  start();
  const auto whole = complete({{"max_tokens", 4000}, {"ignore_eos", true}});
  const auto stream = complete({{"max_tokens", 4000}, {"ignore_eos", true}, {"stream", true}});
  while (next(*stream).bytes.find("\"text\"") == std::string::npos) {
  }
  server_->stop("the end");
  EXPECT_THAT(finish(*stream).bytes, HasSubstr("the end"));
  const LocalAnswer answer = finish(*whole);
  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.bytes, HasSubstr("the end"));
  while (!server_->serve().empty()) {
  }
  const auto late = complete({});
  EXPECT_TRUE(server_->serve().empty());
  EXPECT_EQ(late->take().status, 0);
}

TEST_F(LocalServerTest, KeepsDocuments) {
  start();
  const std::string text(200, 'x');
  EXPECT_EQ(finish(*ask("PUT", "/documents/d", json{{"prompt", text}}.dump())).status, 201);
  const auto call = complete({{"max_tokens", 2}, {"dms", {{"document", "d"}}}});
  EXPECT_EQ(finish(*call).status, 200);
  EXPECT_EQ(finish(*ask("DELETE", "/documents/d")).status, 200);
  EXPECT_EQ(finish(*complete({{"dms", {{"document", "d"}}}})).status, 404);
}

}  // namespace
}  // namespace dms::serve
