#include "cli/options.h"

#include <limits>

#include <CLI/CLI.hpp>

#include "cli/output.h"
#include "cli/parse.h"
#include "cli/progress.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 31;
constexpr int64_t kMaxThreads = 1024;
constexpr int64_t kMaxChunk = int64_t{1} << 20;
constexpr double kUnbounded = std::numeric_limits<double>::infinity();

/// "-n,--max-new-tokens" is called --max-new-tokens in errors.
std::string long_name(const std::string& names) {
  const size_t dashes = names.find("--");
  return dashes == std::string::npos ? names : names.substr(dashes);
}

void read_device(const std::string& text) {
  if (text == "cpu") return;
  const bool is_known = text == "cuda";
  throw InputError({.where = "--device",
                    .what = is_known ? "not built in" : "unknown device",
                    .got = text,
                    .expected = "cpu"});
}

void add_token_choice_options(CLI::App& app, SamplingParams& params) {
  add_number(app, "--temperature", params.temperature, 0, kUnbounded, "0: greedy (default)");
  add_integer(app, "--top-k", params.top_k, 0, kMaxTokens, "Keep the N likeliest tokens; 0: all");
  add_number(app, "--top-p", params.top_p, 0, 1, "Keep the smallest set with this probability");
  add_number(app, "--min-p", params.min_p, 0, 1, "Keep tokens with this share of the best one's");
  add_value(
      app, "--seed", "N", "Same seed, same text (default 0)", [&params](const std::string& text) {
        constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
        params.seed = static_cast<uint64_t>(parse_integer("--seed", text, 0, kMax));
      });
}

void add_penalty_options(CLI::App& app, SamplingParams& params) {
  add_number(app,
             "--repetition-penalty",
             params.repetition_penalty,
             std::numeric_limits<double>::min(),
             kUnbounded,
             "Divides the logits of tokens seen (default 1)");
  add_number(app,
             "--presence-penalty",
             params.presence_penalty,
             -kUnbounded,
             kUnbounded,
             "Subtracted once from generated tokens");
  add_number(app,
             "--frequency-penalty",
             params.frequency_penalty,
             -kUnbounded,
             kUnbounded,
             "Subtracted per occurrence");
}

}  // namespace

CLI::Option* add_value(CLI::App& app,
                       const std::string& names,
                       const std::string& value_name,
                       const std::string& help,
                       std::function<void(const std::string& text)> read) {
  return app.add_option_function<std::string>(names, std::move(read), help)
      ->type_name(value_name)
      ->take_last();
}

CLI::Option* add_integer(CLI::App& app,
                         const std::string& names,
                         int64_t& target,
                         int64_t min,
                         int64_t max,
                         const std::string& help) {
  const auto read = [name = long_name(names), &target, min, max](const std::string& text) {
    target = parse_integer(name, text, min, max);
  };
  return add_value(app, names, "N", help, read);
}

CLI::Option* add_number(CLI::App& app,
                        const std::string& names,
                        double& target,
                        double min,
                        double max,
                        const std::string& help) {
  const auto read = [name = long_name(names), &target, min, max](const std::string& text) {
    target = parse_number(name, text, min, max);
  };
  return add_value(app, names, "X", help, read);
}

CLI::Option* add_text(CLI::App& app,
                      const std::string& names,
                      std::string& target,
                      const std::string& value_name,
                      const std::string& help) {
  return add_value(
      app, names, value_name, help, [&target](const std::string& text) { target = text; });
}

void add_flag(CLI::App& app, const std::string& names, bool& target, const std::string& help) {
  app.add_flag(names, target, help);
}

void add_model_folder(CLI::App& app, std::string& folder) {
  app.add_option("MODEL", folder, "Hugging Face folder")->type_name("");
}

void require_model(const std::string& folder) {
  if (!folder.empty()) return;
  throw InputError({.where = "MODEL", .what = "missing", .expected = "a Hugging Face folder"});
}

void add_adapter(CLI::App& app, std::filesystem::path& adapter) {
  add_value(app,
            "--adapter",
            "DIR",
            "A trained eviction adapter, applied to a plain model",
            [&adapter](const std::string& text) {
              if (text.empty()) {
                throw InputError({.where = "--adapter", .what = "needs a folder"});
              }
              adapter = text;
            });
}

void add_model_options(CLI::App& app, ModelOptions& options) {
  app.option_defaults()->group("Model");
  add_text(app, "--dtype", options.dtype, "TYPE", "f32 or bf16 (default)");
  add_text(app, "--weights", options.weights, "TYPE", "Storage of the weights (default: --dtype)");
  add_integer(app, "--threads", options.threads, 1, kMaxThreads, "Default: all cores");
  add_integer(
      app, "--chunk", options.chunk_tokens, 1, kMaxChunk, "Tokens a prefill step (default 256)");
  add_value(app, "--device", "NAME", "cpu (default)", read_device);
  add_adapter(app, options.adapter);
  app.option_defaults()->group("KV cache");
  add_value(app,
            "--kv-memory",
            "SIZE",
            "Hard limit, as 512MiB or 2GB",
            [&options](const std::string& text) {
              options.kv_memory_bytes = parse_bytes("--kv-memory", text);
            });
  app.option_defaults()->group("Options");
}

void add_cache_options(CLI::App& app, CacheOptions& options) {
  app.option_defaults()->group("KV cache");
  add_text(app,
           "--policy",
           options.policy,
           "NAME",
           "none, dms, streaming, forced, random (default: dms where trained, else none)");
  add_cache_options_but_policy(app, options);
}

void add_cache_options_but_policy(CLI::App& app, CacheOptions& options) {
  app.option_defaults()->group("KV cache");
  add_value(app,
            "--policy-args",
            "K=V,...",
            "The policy's settings: cr=8,seed=1",
            [&options](const std::string& text) {
              options.policy_args = parse_key_values("--policy-args", text);
            });
  add_value(app,
            "--decisions",
            "F.npy",
            "Decisions for the policy forced",
            [&options](const std::string& text) { options.decisions_file = text; });
  add_value(app,
            "--window",
            "N",
            "Tokens kept exactly (default: the model's, else 256)",
            [&options](const std::string& text) {
              options.window_tokens = parse_integer("--window", text, 0, kMaxTokens);
            });
  add_text(app, "--kv-dtype", options.kv_dtype, "TYPE", "Storage of survivors (default: --dtype)");
  add_integer(app,
              "--preallocate",
              options.preallocate_tokens,
              0,
              kMaxTokens,
              "Take the memory of N tokens at once");
  app.option_defaults()->group("Options");
}

void add_sampling_options(CLI::App& app, SamplingParams& params) {
  app.option_defaults()->group("Sampling");
  add_integer(
      app, "-n,--max-new-tokens", params.max_new_tokens, 0, kMaxTokens, "At most N (default 128)");
  add_token_choice_options(app, params);
  add_penalty_options(app, params);
  app.add_option("--stop", params.stop, "End before this text; may be repeated")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  add_flag(app, "--ignore-eos", params.ignore_eos, "Go on after end-of-sequence tokens");
  app.option_defaults()->group("Options");
}

LLM open_model(const std::string& folder, const ModelOptions& options, bool json) {
  ProgressLine progress("loading");
  progress.show(folder);
  LLM llm(folder, options);
  progress.wipe();
  if (!json) print_notes(llm.info());
  return llm;
}

}  // namespace dms::cli
