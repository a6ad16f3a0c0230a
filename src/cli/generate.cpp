// dms generate: continues one prompt, printing the text as it comes.

#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/chat_options.h"
#include "cli/chat_prompt.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

struct Options {
  std::string model;
  ModelOptions model_options;
  CacheOptions cache;
  SamplingParams sampling;
  PromptSource prompt;
  ChatOptions chat;
  bool is_chat = false;
  bool json = false;
};

std::string policy_name(const CacheOptions& cache, const ModelInfo& info) {
  if (!cache.policy.empty()) return cache.policy;
  return info.dms ? "dms" : "none";
}

OutputJson generation_json(const Generation& result,
                           const std::string& policy,
                           const ModelInfo& info) {
  const Timings& timings = result.timings;
  return {{"text", result.text},
          {"ids", result.ids},
          {"finish_reason", result.finish_reason},
          {"error", result.error.empty() ? OutputJson() : OutputJson(result.error)},
          {"prompt_tokens", result.prompt_tokens},
          {"policy", policy},
          {"timings",
           {{"prefill_s", timings.prefill_s},
            {"decode_s", timings.decode_s},
            {"attention_s", timings.attention_s},
            {"prefill_tok_s", timings.prefill_tok_s()},
            {"decode_tok_s", timings.decode_tok_s()}}},
          {"kv", kv_json(result.kv, true)},
          {"notes", info.notes}};
}

void print_summary(const Generation& result, const std::string& policy) {
  if (!stderr_is_terminal()) return;
  fmt::print(
      stderr,
      "prefill {} tokens, {:.1f} tok/s | decode {} tokens, {:.1f} tok/s | policy {}, KV {}\n",
      result.prompt_tokens,
      result.timings.prefill_tok_s(),
      result.ids.size(),
      result.timings.decode_tok_s(),
      policy,
      kv_summary(result.kv));
}

/// The text goes out piece by piece; without a tokenizer the ids do, at the end.
Generation stream(const LLM& llm,
                  Session& session,
                  const std::vector<int32_t>& ids,
                  const SamplingParams& sampling) {
  ProgressLine progress("prefill");
  const auto show = [&progress](std::string_view piece) {
    progress.wipe();
    print_now(piece);
    return true;
  };
  const Generation result = session.generate(ids, sampling, show, progress.callback());
  progress.wipe();
  if (!llm.has_tokenizer()) print(OutputJson(result.ids).dump());
  if (!result.text.ends_with('\n')) print("\n");
  flush_output();
  return result;
}

/// With --chat the prompt is the one message of a conversation.
void apply_chat(Options& options, Prompt& prompt) {
  if (!options.is_chat) return refuse_chat_options(options.chat, "--chat");
  if (!prompt.text) {
    throw InputError({.where = "--chat", .what = "needs a text", .expected = "-p, --prompt-file"});
  }
  const ChatPrompt chat = ChatPrompt::make(options.model, options.chat);
  prompt.text = chat.render(options.chat.system, *prompt.text);
  options.prompt.no_special |= !chat.adds_special_tokens();
  for (const std::string& stop : chat.stops()) options.sampling.stop.push_back(stop);
}

void generate(Options options) {
  require_model(options.model);
  Prompt prompt = read_prompt(options.prompt, "-p, --prompt-file, --ids");
  apply_chat(options, prompt);
  LLM llm = open_model(options.model, options.model_options, options.json);
  const std::vector<int32_t> ids = prompt_ids(llm, prompt, options.prompt.no_special);
  Session session = llm.new_session(options.cache);
  const std::string policy = policy_name(options.cache, llm.info());
  Generation result;
  if (options.json) {
    ProgressLine progress("prefill");
    result = session.generate(ids, options.sampling, {}, progress.callback());
    print_json(generation_json(result, policy, llm.info()));
  } else {
    result = stream(llm, session, ids, options.sampling);
    print_summary(result, policy);
  }
  // What there is of the answer has been printed.
  if (!result.error.empty()) throw RunError({.what = result.error});
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_model_folder(app, options->model);
  add_value(app, "-p,--prompt", "TEXT", "The prompt", [options](const std::string& text) {
    options->prompt.text = text;
  });
  add_text(app, "--prompt-file", options->prompt.text_file, "F", "A text file, '-' for stdin");
  add_text(app, "--ids", options->prompt.ids_file, "F", "Token ids, a JSON array");
  add_flag(app, "--no-special", options->prompt.no_special, "Add no special tokens");
  add_flag(app, "--json", options->json, "Print one JSON object");
  add_flag(app, "--chat", options->is_chat, "The prompt is a message: apply the chat template");
  add_chat_options(app, options->chat);
  add_sampling_options(app, options->sampling);
  add_cache_options(app, options->cache);
  add_model_options(app, options->model_options);
  return [options] { generate(*options); };
}

}  // namespace

Command generate_command() {
  return {.name = "generate",
          .summary = "Continue a prompt",
          .examples =
              "  dms generate models/demo -p 'It was a dark night' -n 64\n"
              "  cat book.txt | dms generate models/demo --prompt-file - --policy random "
              "--policy-args cr=8\n"
              "  dms generate models/demo -p 'Once' --temperature 0.8 --top-p 0.95 --seed 7 "
              "--stop '.' --json\n"
              "  dms generate MODEL --chat -p 'Why is the sky blue?'\n",
          .define = define};
}

}  // namespace dms::cli
