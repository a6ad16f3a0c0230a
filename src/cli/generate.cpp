// dms generate: continues one prompt, printing the text as it comes.

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "cli/adapter_use.h"
#include "cli/chat_options.h"
#include "cli/chat_prompt.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/sampling_options.h"
#include "cli/structure_options.h"
#include "cli/text_table.h"
#include "dms/error.h"
#include "dms/kept_tokens.h"

namespace dms::cli {
namespace {

struct Options {
  std::string model;
  ModelOptions model_options;
  CacheOptions cache;
  SamplingOptions sampling;
  StructureOptions structure;
  PromptSource prompt;
  ChatOptions chat;
  bool is_chat = false;
  bool keep_newline = false;
  bool json = false;
};

std::string policy_name(const CacheOptions& cache, const ModelInfo& info) {
  return cache.policy.empty() ? info.policy : cache.policy;
}

OutputJson generation_json(const Generation& result,
                           const std::string& policy,
                           const ModelInfo& info) {
  const Timings& timings = result.timings;
  return {{"text", result.text},
          {"ids", result.ids},
          {"finish_reason", result.finish_reason},
          {"error", result.error.empty() ? OutputJson() : OutputJson(in_flags(result.error))},
          {"prompt_tokens", result.prompt_tokens},
          {"drafted_tokens", result.drafted_tokens},
          {"accepted_tokens", result.accepted_tokens},
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
  const std::vector<std::string> parts{fmt::format("prefill {}, {:.1f} tok/s",
                                                   counted(result.prompt_tokens, "token"),
                                                   result.timings.prefill_tok_s()),
                                       fmt::format("decode {}, {:.1f} tok/s",
                                                   counted(std::ssize(result.ids), "token"),
                                                   result.timings.decode_tok_s()),
                                       "policy " + policy,
                                       "KV " + kv_summary(result.kv)};
  const std::string line = fmt::format("{} | {} | {}, {}", parts[0], parts[1], parts[2], parts[3]);
  const bool fits = line.size() <= stderr_columns();
  fmt::print(stderr, "{}\n", fits ? line : fmt::format("{}", fmt::join(parts, "\n")));
}

/// The text goes out piece by piece; without a tokenizer the ids do, at the end.
Generation stream(bool has_text,
                  Session& session,
                  const std::vector<int32_t>& ids,
                  const SamplingParams& sampling) {
  ProgressLine progress("prefill");
  bool begun = false;
  const auto show = [&](std::string_view piece) {
    progress.wipe();
    print_now(piece);
    begun = true;
    return true;
  };
  const auto advance = [&](int64_t done, int64_t total) {
    if (!begun) progress.update(done, total);  // it would wipe the line that the text is on
  };
  const Generation result = session.generate(ids, sampling, show, advance);
  progress.wipe();
  if (!result.error.empty() && result.ids.empty()) return result;
  if (!has_text) print(OutputJson(result.ids).dump());
  if (!result.text.ends_with('\n')) print("\n");
  flush_output();
  return result;
}

/// With --chat the prompt is the one message of a conversation.
std::optional<ChatPrompt> chat_of(const Options& options, const Prompt& prompt) {
  if (!options.is_chat) {
    refuse_chat_options(options.chat, "--chat");
    return std::nullopt;
  }
  if (!prompt.text) {
    throw InputError({.where = "--chat", .what = "needs a text", .expected = "-p, --prompt-file"});
  }
  return ChatPrompt::make(options.model, options.chat);
}

std::vector<int32_t> ids_of(const Options& options,
                            const ModelSource& source,
                            Prompt prompt,
                            const std::optional<ChatPrompt>& chat,
                            int64_t max_tokens) {
  if (!chat) return prompt_ids(source, prompt, options.prompt.no_special, max_tokens);
  prompt_ids(source, prompt, true, max_tokens);  // refused before it is rendered, which costs more
  prompt.text = chat->render(options.chat.system, *prompt.text);
  const bool no_special = options.prompt.no_special || !chat->adds_special_tokens();
  return prompt_ids(source, prompt, no_special, max_tokens);
}

void check(const Options& options) {
  require_model(options.model);
  if (options.keep_newline && options.prompt.text_file.empty()) {
    throw InputError({.where = "--keep-newline", .what = "goes with --prompt-file"});
  }
}

void generate(const Options& options) {
  check(options);
  PromptSource prompt_source = options.prompt;
  prompt_source.drops_newline = !options.keep_newline;
  Prompt prompt = read_prompt(prompt_source, "-p, --prompt-file, --ids");
  const std::optional<ChatPrompt> chat = chat_of(options, prompt);
  const Structure structure = options.structure.resolve();
  const CacheOptions cache = with_seekable_files(options.cache);
  ModelSource source(options.model, options.model_options);
  SamplingParams sampling = options.sampling.resolve(source.info());
  sampling.structure = structure;
  check_draft(options.model_options, sampling);
  if (chat) std::ranges::copy(chat->stops(), std::back_inserter(sampling.stop));
  const int64_t max_tokens = source.check(cache).max_tokens;
  source.check(sampling);
  const std::vector<int32_t> ids = ids_of(options, source, std::move(prompt), chat, max_tokens);
  source.check_prompt(ids, max_tokens);
  note_idle_adapter(options.model_options.adapter, {&cache, 1}, source.info());
  LLM llm = load_model(std::move(source), options.model, options.json);
  Session session = llm.new_session(cache);
  const std::string policy = policy_name(cache, llm.info());
  const std::string_view known = note_on_prompt(policy, cache, std::ssize(ids));
  if (!known.empty()) note(known);
  Generation result;
  if (options.json) {
    ProgressLine progress("prefill");
    result = session.generate(ids, sampling, {}, progress.callback());
    progress.wipe();
    print_json(generation_json(result, policy, llm.info()));
  } else {
    result = stream(llm.has_tokenizer(), session, ids, sampling);
    print_summary(result, policy);
  }
  flush_output();  // what there is of the answer
  if (!result.error.empty()) throw RunError({.what = result.error});
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_model_folder(app, options->model);
  add_value(app, "-p,--prompt", "TEXT", "The prompt", [options](const std::string& text) {
    options->prompt.text = text;
  });
  add_input_file(
      app, "--prompt-file", options->prompt.text_file, "The prompt from a file, '-' for stdin");
  add_flag(
      app, "--keep-newline", options->keep_newline, "Keep the newline that ends the prompt file");
  add_input_file(app, "--ids", options->prompt.ids_file, "Token ids, a JSON array");
  add_flag(app, "--no-special", options->prompt.no_special, "Add no special tokens");
  add_flag(app, "--json", options->json, "Print one JSON object");
  add_flag(app, "--chat", options->is_chat, "The prompt is a message: apply the chat template");
  add_chat_options(app, options->chat);
  add_sampling_options(app, options->sampling);
  add_structure_options(app, options->structure);
  add_cache_options(app, options->cache);
  add_model_options(app, options->model_options);
  add_draft(app, options->model_options.draft);
  return [options] { generate(*options); };
}

}  // namespace

Command generate_command() {
  return {.name = "generate",
          .summary = "Continue a prompt",
          .examples =
              "  dms generate models/demo -p 'It was a dark night' -n 64\n"
              "  cat examples/long_prompt.txt | dms generate models/demo --prompt-file - \\\n"
              "      --policy random --policy-args cr=8\n"
              "  dms generate models/demo -p 'Once' --temperature 0.8 --top-p 0.95 \\\n"
              "      --seed 7 --stop '.' --json\n"
              "  dms generate MODEL --chat -p 'Why is the sky blue?'\n",
          .define = define};
}

}  // namespace dms::cli
