#include "cli/remote_chat.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cli/command_line.h"
#include "cli/options.h"
#include "support/errors.h"

namespace dms::cli {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

struct Parsed {
  CommandLine line{"dms", "", ""};
  std::string folder;
  ServerOptions server;
  ChatOptions chat;
  SamplingOptions sampling;
  CacheOptions cache;
  ModelOptions model;

  explicit Parsed(std::vector<std::string> arguments) {
    add_model_folder(line.app(), folder);
    add_server_options(line.app(), server);
    add_chat_options(line.app(), chat);
    add_sampling_options(line.app(), sampling);
    add_cache_options(line.app(), cache);
    add_model_options(line.app(), model);
    add_draft(line.app(), model.draft);
    line.read(arguments);
  }
};

std::string fields_of(std::vector<std::string> arguments) {
  const Parsed parsed(std::move(arguments));
  const SamplingParams params = parsed.sampling.resolve(SamplingParams{.temperature = 1});
  return request_fields(parsed.sampling, params, parsed.cache, parsed.chat).dump();
}

TEST(RemoteChat, SendsWhatIsGivenAndNothingElse) {
  EXPECT_EQ(fields_of({}), R"({"max_tokens":128})");
  EXPECT_EQ(fields_of({"-n", "7", "--greedy"}), R"({"max_tokens":7,"temperature":0.0})");
  EXPECT_EQ(
      fields_of({"--temperature", "0.5", "--top-k", "3", "--top-p", "0.25", "--min-p", "0.5"}),
      R"({"max_tokens":128,"temperature":0.5,"top_k":3,"top_p":0.25,"min_p":0.5})");
  EXPECT_EQ(
      fields_of(
          {"--repetition-penalty", "2", "--presence-penalty", "-1", "--frequency-penalty", "0.5"}),
      R"({"max_tokens":128,"repetition_penalty":2.0,"presence_penalty":-1.0,)"
      R"("frequency_penalty":0.5})");
  EXPECT_EQ(fields_of({"--stop", "a", "--stop", "b", "--stop-id", "3", "--ignore-eos"}),
            R"({"max_tokens":128,"stop":["a","b"],"stop_token_ids":[3],"ignore_eos":true})");
}

TEST(RemoteChat, SendsHowTheCacheIsKept) {
  EXPECT_EQ(fields_of({"--policy", "streaming", "--policy-args", "start_size=4", "--window", "8"}),
            R"({"max_tokens":128,"dms":{"policy":"streaming",)"
            R"("policy_args":{"start_size":"4"},"window":8}})");
  EXPECT_EQ(fields_of({"--speculate", "4"}), R"({"max_tokens":128,"dms":{"speculate":4}})");
}

TEST(RemoteChat, SendsWhatTheTemplateIsGiven) {
  EXPECT_EQ(fields_of({"--template-arg", "think=false", "--template-arg", "date=May"}),
            R"({"max_tokens":128,"chat_template_kwargs":{"think":false,"date":"May"}})");
}

std::string refusal_of(std::vector<std::string> arguments) {
  Parsed parsed(std::move(arguments));
  return input_error([&] { check_server_options(parsed.line.app(), parsed.server); });
}

TEST(RemoteChat, RefusesWhatIsTheServers) {
  const std::string url = "--url=http://host";
  expect_parts(refusal_of({url, "models/demo"}), {"MODEL: ", "with --url"});
  for (const char* option : {"--template",
                             "--dtype",
                             "--weights",
                             "--adapter",
                             "--draft",
                             "--decisions",
                             "--kv-dtype"}) {
    expect_parts(refusal_of({url, option, "x"}), {std::string(option) + ": ", "with --url"});
  }
  for (const char* option :
       {"--threads", "--chunk", "--preallocate", "--kv-memory", "--kv-exact-layers"}) {
    expect_parts(refusal_of({url, option, "1"}), {std::string(option) + ": ", "with --url"});
  }
  expect_parts(refusal_of({url, "--device", "cpu"}), {"--device: "});
}

TEST(RemoteChat, RefusesWhatOnlyAServerIsTold) {
  for (const char* option : {"--api-key", "--model", "--timeout"}) {
    expect_parts(refusal_of({"models/demo", option, "1"}),
                 {std::string(option) + ": goes with --url"});
  }
  expect_parts(refusal_of({"--url", ""}), {"--url: is empty"});
}

TEST(RemoteChat, RefusesWhatCannotStandInARequest) {
  const auto refused = [](const ServerOptions& server) {
    return input_error([&] { chat_with_server(server, {}, {}, {}, {}); });
  };
  expect_parts(refused({.url = "https://host"}), {"--url: https is not spoken here"});
  expect_parts(refused({.url = "http://host", .key = "a\r\nX: b"}), {"--api-key: holds what no"});
  expect_parts(refused({.url = "http://host", .key = "a b"}), {"--api-key: holds what no"});
}

}  // namespace
}  // namespace dms::cli
