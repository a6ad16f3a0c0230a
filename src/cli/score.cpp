// dms score: how likely the model finds a text, every token predicted through the cache.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/npy.h"
#include "cli/adapter_use.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/output_options.h"
#include "cli/parse.h"
#include "cli/progress.h"
#include "cli/text_table.h"
#include "dms/error.h"
#include "dms/kept_tokens.h"
#include "eval/log_likelihood.h"
#include "eval/windows.h"

namespace dms::cli {
namespace {

using eval::ScoreWindow;

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

struct Options {
  std::string model;
  ModelOptions model_options;
  CacheOptions cache;
  PromptSource prompt;
  std::string logits_file;
  std::string decisions_file;
  int64_t decode_from = kNever;
  std::optional<int64_t> context;
  std::optional<int64_t> stride;
  bool json = false;
};

/// A likelihood of such a row would be no number, and JSON has no word for it.
void require_finite(std::span<const float> row, int64_t token) {
  const auto bad = std::ranges::find_if_not(row, [](float logit) { return std::isfinite(logit); });
  if (bad == row.end()) return;
  throw RunError({.where = fmt::format("logits after token {}", token),
                  .what = "the model's logits are not finite",
                  .got = fmt::format("{} for token id {}", *bad, bad - row.begin()),
                  .expected = "finite numbers"});
}

/// How a text is cut.
struct Plan {
  int64_t context;  // tokens of a window
  int64_t stride;
  std::vector<ScoreWindow> windows;
};

/// Adds up what the tokens of a text cost.
class Scorer {
 public:
  Scorer(std::span<const int32_t> ids, int64_t vocab, const std::string& logits_file) : ids_(ids) {
    if (!logits_file.empty()) writer_.emplace(logits_file, std::ssize(ids), vocab);
  }

  /// The logits after token `token`, seen in `window`.
  void take(int64_t token, const ScoreWindow& window, std::span<const float> row) {
    require_finite(row, token);
    if (writer_) writer_->write_row(row.data());
    const int64_t next = token + 1;
    if (next < window.first_scored || next >= window.end) return;
    total_nll_ += eval::negative_log_likelihood(row, ids_[static_cast<size_t>(next)]);
  }
  void close() {
    if (writer_) writer_->close();
  }
  double mean_nll() const { return total_nll_ / static_cast<double>(std::ssize(ids_) - 1); }

 private:
  std::span<const int32_t> ids_;
  std::optional<NpyRowWriter> writer_;
  double total_nll_ = 0;
};

/// Sends a window's tokens through a session, from `decode_from` on one by one.
void score_window(Session& session,
                  std::span<const int32_t> ids,
                  const ScoreWindow& window,
                  int64_t decode_from,
                  const std::function<void(int64_t done)>& show,
                  Scorer& scorer) {
  const auto part = ids.subspan(static_cast<size_t>(window.begin),
                                static_cast<size_t>(window.end - window.begin));
  const auto prefilled = static_cast<size_t>(std::clamp<int64_t>(decode_from, 0, std::ssize(part)));
  int64_t token = window.begin;
  const auto take = [&](int64_t, std::span<const float> row) { scorer.take(token++, window, row); };
  const auto progress = [&](int64_t done, int64_t) { show(done); };
  if (prefilled > 0) session.append_scored(part.first(prefilled), take, progress);
  for (size_t i = prefilled; i < part.size(); ++i) {
    session.append_scored(part.subspan(i, 1), take);
    show(static_cast<int64_t>(i) + 1);
  }
}

/// In the form that --decisions reads: uint8 [layers, kv_heads, tokens].
void save_decisions(const std::filesystem::path& path,
                    const ModelInfo& model,
                    std::span<const uint8_t> decisions) {
  const int64_t heads = model.layers * model.kv_heads;
  ensure(heads > 0 && std::ssize(decisions) % heads == 0, "decisions of a whole number of tokens");
  write_npy_bytes(path,
                  {.shape = {model.layers, model.kv_heads, std::ssize(decisions) / heads},
                   .values = {decisions.begin(), decisions.end()}});
}

/// The memory of the first window, which is as long as any.
KvStats score_tokens(const Options& options,
                     const CacheOptions& cache,
                     LLM& llm,
                     std::span<const int32_t> ids,
                     const Plan& plan,
                     Scorer& scorer) {
  ProgressLine progress("score");
  int64_t total = 0;
  for (const ScoreWindow& window : plan.windows) total += window.end - window.begin;
  KvStats kv;
  int64_t before = 0;
  for (const ScoreWindow& window : plan.windows) {
    Session session = llm.new_session(cache);
    const auto show = [&](int64_t done) { progress.update(before + done, total); };
    score_window(session, ids, window, options.decode_from, show, scorer);
    before += window.end - window.begin;
    if (window.begin > 0) continue;
    kv = session.kv();
    if (!options.decisions_file.empty()) {
      save_decisions(options.decisions_file, llm.info(), session.decisions());
    }
  }
  return kv;
}

void print_score(const Options& options,
                 int64_t tokens,
                 const Plan& plan,
                 double nll,
                 const KvStats& kv,
                 const ModelInfo& info) {
  const auto windows = std::ssize(plan.windows);
  if (options.json) {
    print_json({{"tokens", tokens},
                {"windows", windows},
                {"context", plan.context},
                {"stride", plan.stride},
                {"nll", nll},
                {"ppl", std::exp(nll)},
                {"kv", kv_json(kv, true)},
                {"notes", info.notes}});
    return;
  }
  print(fmt::format("tokens  {}\n", tokens));
  if (windows > 1) {
    print(fmt::format("windows {} of {} tokens, stride {}; kv: the first one's\n",
                      windows,
                      plan.context,
                      plan.stride));
  }
  print(fmt::format(
      "nll     {:.6f}\nppl     {:.4f}\nkv      {}\n", nll, std::exp(nll), kv_summary(kv)));
}

/// `max_tokens`: what a session holds, the model's context or more where a policy bounds positions.
Plan make_plan(const Options& options,
               int64_t context_of_model,
               int64_t max_tokens,
               int64_t tokens) {
  if (tokens < 2) {
    throw InputError({.where = "prompt",
                      .what = "too short to score",
                      .got = counted(tokens, "token"),
                      .expected = "at least 2"});
  }
  const auto refuse = [](const char* where, const char* what, int64_t got, std::string expected) {
    throw InputError({.where = where,
                      .what = what,
                      .got = fmt::format("{}", got),
                      .expected = std::move(expected)});
  };
  const int64_t longest = std::clamp(tokens, std::min(context_of_model, max_tokens), max_tokens);
  const int64_t context = options.context.value_or(longest);
  if (context > max_tokens) {
    refuse("--context", "longer than the model's", context, fmt::format("at most {}", max_tokens));
  }
  const int64_t stride = options.stride.value_or(std::max<int64_t>(context / 2, 1));
  if (stride >= context) {
    refuse("--stride",
           "each window must begin inside the one before",
           stride,
           fmt::format("less than the window, {} tokens", context));
  }
  return {.context = context,
          .stride = stride,
          .windows = eval::score_windows(tokens, context, stride)};
}

/// What is said of single tokens' place in the text has no meaning in several windows.
void check_one_window(const Options& options, int64_t tokens, const Plan& plan) {
  if (plan.windows.size() == 1) return;
  const auto refuse = [&](const char* option, bool is_given) {
    if (!is_given) return;
    throw InputError({.where = option,
                      .what = "needs a text that fits into one window",
                      .got = counted(tokens, "token"),
                      .expected = fmt::format("at most {}", plan.context)});
  };
  refuse("--logits", !options.logits_file.empty());
  refuse("--decode-from", options.decode_from != kNever);
  refuse("--save-decisions", !options.decisions_file.empty());
}

/// What is decoded one by one is an answer to what comes before it.
void note_answer(const Options& options,
                 const CacheOptions& cache,
                 const ModelInfo& info,
                 const Plan& plan) {
  if (options.decode_from >= plan.windows.front().end) return;
  const std::string& policy = cache.policy.empty() ? info.policy : cache.policy;
  const std::string_view known = note_on_prompt(policy, cache, options.decode_from);
  if (!known.empty()) note(known);
}

void score(const Options& options) {
  require_model(options.model);
  const Prompt prompt = read_prompt(options.prompt, "--text-file, --ids");
  const CacheOptions cache = with_seekable_files(options.cache);
  ModelSource source(options.model, options.model_options);
  const int64_t max_tokens = source.check(cache).max_tokens;
  const std::vector<int32_t> ids = prompt_ids(source, prompt, options.prompt.no_special);
  const Plan plan = make_plan(options, source.info().context, max_tokens, std::ssize(ids));
  check_one_window(options, std::ssize(ids), plan);
  require_distinct(
      {{"--logits", options.logits_file}, {"--save-decisions", options.decisions_file}});
  check_writable(options.decisions_file);
  Scorer scorer(ids, source.info().vocab, options.logits_file);
  note_idle_adapter(options.model_options.adapter, {&cache, 1}, source.info());
  LLM llm = load_model(std::move(source), options.model, options.json);
  note_answer(options, cache, llm.info(), plan);
  const KvStats kv = score_tokens(options, cache, llm, ids, plan, scorer);
  scorer.close();
  print_score(options, std::ssize(ids), plan, scorer.mean_nll(), kv, llm.info());
}

void add_window_options(CLI::App& app, Options& options) {
  add_value(app,
            "--context",
            "N",
            "Longer texts are scored in windows of N tokens\n(default: the model's context)",
            [&options](const std::string& text) {
              options.context = parse_integer("--context", text, 2, kMaxTokens);
            });
  add_value(app,
            "--stride",
            "N",
            "that begin N tokens apart (default: context / 2)",
            [&options](const std::string& text) {
              options.stride = parse_integer("--stride", text, 1, kMaxTokens);
            });
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_model_folder(app, options->model);
  add_input_file(app, "--text-file", options->prompt.text_file, "A text file, '-' for stdin");
  add_input_file(app, "--ids", options->prompt.ids_file, "Token ids, a JSON array");
  add_flag(app, "--no-special", options->prompt.no_special, "Add no special tokens");
  add_window_options(app, *options);
  add_text(app,
           "--logits",
           options->logits_file,
           "OUT.npy",
           "Write float32 [tokens, vocab]: row k after token k");
  add_integer(app,
              "--decode-from",
              options->decode_from,
              0,
              std::numeric_limits<int64_t>::max(),
              "Append tokens from N on one by one");
  add_text(app,
           "--save-decisions",
           options->decisions_file,
           "OUT.npy",
           "Write uint8 [layers, kv_heads, tokens]: 1 = evicted");
  add_flag(app, "--json", options->json, "Print one JSON object");
  add_cache_options(app, options->cache);
  add_model_options(app, options->model_options);
  return [options] { score(*options); };
}

}  // namespace

Command score_command() {
  return {.name = "score",
          .summary = "Measure a text's perplexity through the cache",
          .examples =
              "  dms score models/demo --text-file examples/long_prompt.txt\n"
              "  dms score models/demo --text-file examples/long_prompt.txt \\\n"
              "      --policy streaming --policy-args start_size=4,recent_size=256 --json\n"
              "  dms score models/demo --text-file examples/long_prompt.txt \\\n"
              "      --context 1024 --stride 256\n"
              "  dms score models/demo --ids ids.json --logits logits.npy --decode-from 100\n",
          .define = define};
}

}  // namespace dms::cli
