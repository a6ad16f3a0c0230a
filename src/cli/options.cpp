#include "cli/options.h"

#include <utility>

#include "cli/input.h"
#include "cli/output.h"
#include "cli/parse.h"
#include "cli/progress.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr int64_t kMaxThreads = 1024;
constexpr int64_t kMaxChunk = int64_t{1} << 20;
constexpr int64_t kMaxLayers = int64_t{1} << 16;
constexpr int64_t kMaxSequences = int64_t{1} << 16;

/// "none, dms, streaming,\nforced or random": lines that fit beside the names of the options.
std::string policy_list() {
  constexpr size_t kColumns = 52;
  const auto names = policy_names();
  std::string text;
  size_t used = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    const bool is_last = i + 1 == names.size();
    const std::string word =
        (is_last && i > 0 ? "or " : "") + std::string(names[i]) + (i + 2 < names.size() ? "," : "");
    const bool fits = used + 1 + word.size() <= kColumns;
    if (i > 0) text += fits ? ' ' : '\n';
    used = (fits ? used + 1 : 0) + word.size();
    text += word;
  }
  return text;
}

}  // namespace

void add_model_folder(CLI::App& app, std::string& folder) {
  add_argument(app, "MODEL", folder, "Hugging Face folder or .gguf file");
}

void require_model(const std::string& folder) {
  if (!folder.empty()) return;
  throw InputError(
      {.where = "MODEL", .what = "missing", .expected = "a Hugging Face folder or a .gguf file"});
}

void add_adapter(CLI::App& app, std::filesystem::path& adapter) {
  add_value(app,
            "--adapter",
            "DIR",
            "An eviction adapter for a plain model",
            [&adapter](const std::string& text) {
              if (text.empty()) {
                throw InputError({.where = "--adapter", .what = "needs a folder"});
              }
              adapter = text;
            });
}

void add_draft(CLI::App& app, std::filesystem::path& draft) {
  const OptionGroup group(app, "Model");
  add_value(app,
            "--draft",
            "DIR",
            "A smaller model with the same tokens that\nguesses ahead (see --speculate)",
            [&draft](const std::string& text) {
              if (text.empty()) throw InputError({.where = "--draft", .what = "needs a folder"});
              draft = text;
            });
}

void check_draft(const ModelOptions& options, const SamplingParams& sampling) {
  if (options.draft.empty() || sampling.speculate > 0) return;
  throw InputError({.where = "--draft",
                    .what = "guesses nothing",
                    .hint = "say how many tokens at most with --speculate"});
}

void add_model_options(CLI::App& app, ModelOptions& options) {
  options.metadata_scope = MetadataScope::with_parent;  // the user's own files
  const OptionGroup model(app, "Model");
  add_text(app, "--dtype", options.dtype, "TYPE", "f32 or bf16 (default)");
  add_text(app, "--weights", options.weights, "TYPE", "f32, bf16, int8 or int4 (default: --dtype)");
  add_integer(app, "--threads", options.threads, 1, kMaxThreads, "Default: all cores");
  add_integer(
      app, "--chunk", options.chunk_tokens, 1, kMaxChunk, "Tokens a prefill step (default 256)");
  add_text(app, "--device", options.device, "NAME", "cpu (default) or cuda");
  add_adapter(app, options.adapter);
  const OptionGroup cache(app, "KV cache");
  add_value(app,
            "--kv-memory",
            "SIZE",
            "Hard limit, as 512MiB or 2GB",
            [&options](const std::string& text) {
              options.kv_memory_bytes = parse_bytes("--kv-memory", text);
            });
}

void add_scheduling_options(CLI::App& app, ModelOptions& options) {
  const OptionGroup group(app, "Scheduling");
  add_integer(app,
              "--max-batch-tokens",
              options.max_step_tokens,
              1,
              kMaxChunk,
              "Prompt tokens of one pass (default 512)");
  add_integer(app,
              "--max-sequences",
              options.max_sequences,
              1,
              kMaxSequences,
              "Answers computed at once (default 64)");
}

void add_cache_options(CLI::App& app, CacheOptions& options) {
  const OptionGroup group(app, "KV cache");
  add_text(app,
           "--policy",
           options.policy,
           "NAME",
           policy_list() +
               "\n(default: dms where trained, else what an adapter\nis of: kvzap, triattention; "
               "else none)");
  add_cache_options_but_policy(app, options);
}

void add_cache_options_but_policy(CLI::App& app, CacheOptions& options) {
  const OptionGroup group(app, "KV cache");
  add_value(app,
            "--policy-args",
            "K=V,...",
            "The policy's settings: cr=8,seed=1 (docs/cli.md\nhas all; an unknown one is told "
            "which there are)",
            [&options](const std::string& text) {
              options.policy_args = parse_key_values("--policy-args", text);
            });
  add_input_file(app,
                 "--decisions",
                 "Decisions for the policy forced (NumPy format)",
                 [&options](const std::string& text) { options.decisions_file = text; });
  add_value(app,
            "--window",
            "N",
            "Tokens kept exactly (default: model's, else 256)",
            [&options](const std::string& text) {
              options.window_tokens = parse_integer("--window", text, 0, kMaxTokens);
            });
  add_text(app, "--kv-dtype", options.kv_dtype, "TYPE", "Storage of survivors (default: --dtype)");
  add_integer(app,
              "--kv-exact-layers",
              options.kv_exact_layers,
              0,
              kMaxLayers,
              "First and last N layers, kept in --dtype");
  add_integer(app,
              "--preallocate",
              options.preallocate_tokens,
              0,
              kMaxTokens,
              "Take the memory of N tokens at once");
}

CacheOptions with_seekable_files(CacheOptions options) {
  options.decisions_file = seekable_file(options.decisions_file);
  return options;
}

LLM load_model(ModelSource source, const std::string& name, bool json) {
  ProgressLine progress("loading");
  progress.show(name);
  LLM llm(std::move(source));
  progress.wipe();
  if (!json) print_notes(llm.info());
  return llm;
}

}  // namespace dms::cli
