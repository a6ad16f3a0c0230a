#include "cli/remote_chat.h"

#include <array>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "cli/chat_loop.h"
#include "cli/chat_prompt.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "cli/remote_conversation.h"
#include "client/api_client.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr int64_t kMostSeconds = int64_t{7} * 24 * 3600;
constexpr const char* kKeyVariable = "DMS_API_KEY";

constexpr std::array kServersAlone{"--api-key", "--model", "--timeout"};
constexpr std::array kModelsAlone{"MODEL",
                                  "--template",
                                  "--dtype",
                                  "--weights",
                                  "--threads",
                                  "--chunk",
                                  "--device",
                                  "--adapter",
                                  "--draft",
                                  "--kv-memory",
                                  "--decisions",
                                  "--kv-dtype",
                                  "--kv-exact-layers",
                                  "--preallocate"};

/// The key of the command line, else that of the environment.
std::string key_of(const ServerOptions& options) {
  const char* outside = std::getenv(kKeyVariable);
  const bool is_given = !options.key.empty() || outside == nullptr;
  std::string key = is_given ? options.key : outside;
  if (is_ascii_word(key)) return key;
  throw InputError({.where = is_given ? "--api-key" : kKeyVariable,
                    .what = "holds what no header may",
                    .expected = "ASCII characters without spaces"});
}

void add_choice(OrderedJson& fields, const SamplingOptions& given, const SamplingParams& params) {
  const auto add = [&](const char* option, const char* field, const auto& value) {
    if (given.is_given(option)) fields[field] = value;
  };
  add("--greedy", "temperature", params.temperature);
  add("--temperature", "temperature", params.temperature);
  add("--top-k", "top_k", params.top_k);
  add("--top-p", "top_p", params.top_p);
  add("--min-p", "min_p", params.min_p);
  add("--repetition-penalty", "repetition_penalty", params.repetition_penalty);
  add("--presence-penalty", "presence_penalty", params.presence_penalty);
  add("--frequency-penalty", "frequency_penalty", params.frequency_penalty);
  add("--stop", "stop", params.stop);
  add("--stop-id", "stop_token_ids", params.stop_ids);
  add("--ignore-eos", "ignore_eos", params.ignore_eos);
}

/// What servers of ours know; empty where nothing is asked for.
OrderedJson own_fields(const SamplingOptions& given,
                       const SamplingParams& sampling,
                       const CacheOptions& cache) {
  OrderedJson fields = OrderedJson::object();
  if (!cache.policy.empty()) fields["policy"] = cache.policy;
  if (!cache.policy_args.empty()) fields["policy_args"] = cache.policy_args;
  if (cache.window_tokens) fields["window"] = *cache.window_tokens;
  if (given.is_given("--speculate")) fields["speculate"] = sampling.speculate;
  return fields;
}

}  // namespace

void add_server_options(CLI::App& app, ServerOptions& options) {
  const OptionGroup group(app, "Server");
  add_text(
      app, "--url", options.url, "URL", "Talk with an OpenAI-compatible server,\nnot with MODEL");
  add_text(app, "--api-key", options.key, "KEY", "Default: the variable DMS_API_KEY");
  add_text(app, "--model", options.model, "ID", "Of the server's (default: its first)");
  add_integer(app,
              "--timeout",
              options.patience_s,
              1,
              kMostSeconds,
              "Seconds of silence it may keep (default 600)");
}

void check_server_options(const CLI::App& app, const ServerOptions& options) {
  const bool is_remote = is_given(app, "--url");
  if (is_remote && options.url.empty()) throw InputError({.where = "--url", .what = "is empty"});
  const auto refuse = [&app](const auto& names, const ErrorParts& parts) {
    for (const char* name : names) {
      if (!is_given(app, name)) continue;
      ErrorParts named = parts;
      named.where = name;
      throw InputError(named);
    }
  };
  if (is_remote) {
    refuse(kModelsAlone, {.what = "cannot be chosen with --url: it is the server's"});
  } else {
    refuse(kServersAlone, {.what = "goes with --url"});
  }
}

OrderedJson request_fields(const SamplingOptions& given,
                           const SamplingParams& sampling,
                           const CacheOptions& cache,
                           const ChatOptions& chat) {
  OrderedJson fields{{"max_tokens", sampling.max_new_tokens}};
  add_choice(fields, given, sampling);
  OrderedJson ours = own_fields(given, sampling, cache);
  if (!ours.empty()) fields["dms"] = std::move(ours);
  if (!chat.template_args.empty()) {
    fields["chat_template_kwargs"] =
        parse_ordered_json(template_arguments(chat.template_args), "--template-arg");
  }
  return fields;
}

void chat_with_server(const ServerOptions& server,
                      const SamplingOptions& sampling,
                      const CacheOptions& cache,
                      const ChatOptions& chat,
                      const ChatStart& start) {
  const client::ApiClient client(client::parse_server_url(server.url, "--url"),
                                 key_of(server),
                                 std::chrono::seconds(server.patience_s));
  // What is not given is the server's to choose, most often to sample.
  const SamplingParams params = sampling.resolve(SamplingParams{.temperature = 1});
  OrderedJson fields = request_fields(sampling, params, cache, chat);
  fields["model"] = server.model.empty() ? client.first_model() : server.model;
  if (!start.document.empty()) fields["dms"]["document"] = start.document;
  RemoteConversation talk(client, std::move(fields), sampling.is_given("--seed"), chat.system);
  if (!start.load.empty()) talk.load(start.load);
  ChatLoop(talk, params).run();
}

}  // namespace dms::cli
