// dms score: how likely the model finds a text, every token predicted through the cache.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/check.h"
#include "base/npy.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/log_likelihood.h"
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
  PromptSource prompt;
  std::string logits_file;
  std::string decisions_file;
  int64_t decode_from = std::numeric_limits<int64_t>::max();
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

/// Takes the logits after token 0, 1, 2, … in turn.
class Scorer {
 public:
  Scorer(std::span<const int32_t> ids, int64_t vocab, const std::string& logits_file) : ids_(ids) {
    if (!logits_file.empty()) writer_.emplace(logits_file, std::ssize(ids), vocab);
  }

  void take(std::span<const float> row) {
    require_finite(row, rows_);
    if (writer_) writer_->write_row(row.data());
    if (++rows_ < std::ssize(ids_)) {
      total_nll_ += negative_log_likelihood(row, ids_[static_cast<size_t>(rows_)]);
    }
  }
  void close() {
    if (writer_) writer_->close();
  }
  double mean_nll() const { return total_nll_ / static_cast<double>(std::ssize(ids_) - 1); }

 private:
  std::span<const int32_t> ids_;
  std::optional<NpyRowWriter> writer_;
  int64_t rows_ = 0;
  double total_nll_ = 0;
};

void score_tokens(Session& session,
                  std::span<const int32_t> ids,
                  int64_t decode_from,
                  Scorer& scorer) {
  ProgressLine progress("score");
  const auto total = std::ssize(ids);
  const auto prefilled = static_cast<size_t>(std::clamp<int64_t>(decode_from, 0, total));
  const auto take = [&scorer](int64_t, std::span<const float> row) { scorer.take(row); };
  const auto show = [&](int64_t done, int64_t) { progress.update(done, total); };
  if (prefilled > 0) session.append_scored(ids.first(prefilled), take, show);
  for (size_t i = prefilled; i < ids.size(); ++i) {
    session.append_scored(ids.subspan(i, 1), take);
    progress.update(static_cast<int64_t>(i) + 1, total);
  }
}

void print_score(
    const Options& options, int64_t tokens, double nll, const KvStats& kv, const ModelInfo& info) {
  if (options.json) {
    print_json({{"tokens", tokens},
                {"nll", nll},
                {"ppl", std::exp(nll)},
                {"kv", kv_json(kv, true)},
                {"notes", info.notes}});
  } else {
    print(fmt::format("tokens  {}\nnll     {:.6f}\nppl     {:.4f}\nkv      {}\n",
                      tokens,
                      nll,
                      std::exp(nll),
                      kv_summary(kv)));
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

void score(const Options& options) {
  require_model(options.model);
  const Prompt prompt = read_prompt(options.prompt, "--text-file, --ids");
  LLM llm = open_model(options.model, options.model_options, options.json);
  const std::vector<int32_t> ids = prompt_ids(llm, prompt, options.prompt.no_special);
  if (ids.size() < 2) {
    throw InputError({.where = "prompt",
                      .what = "too short to score",
                      .got = fmt::format("{} tokens", ids.size()),
                      .expected = "at least 2"});
  }
  Session session = llm.new_session(options.cache);
  Scorer scorer(ids, llm.info().vocab, options.logits_file);
  score_tokens(session, ids, options.decode_from, scorer);
  scorer.close();
  if (!options.decisions_file.empty()) {
    save_decisions(options.decisions_file, llm.info(), session.decisions());
  }
  print_score(options, std::ssize(ids), scorer.mean_nll(), session.kv(), llm.info());
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_model_folder(app, options->model);
  add_text(app, "--text-file", options->prompt.text_file, "F", "A text file, '-' for stdin");
  add_text(app, "--ids", options->prompt.ids_file, "F", "Token ids, a JSON array");
  add_flag(app, "--no-special", options->prompt.no_special, "Add no special tokens");
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
              "  dms score models/demo --text-file book.txt\n"
              "  dms score models/demo --text-file book.txt --policy streaming "
              "--policy-args start_size=4,recent_size=256 --json\n"
              "  dms score models/demo --ids ids.json --logits logits.npy --decode-from "
              "100\n",
          .define = define};
}

}  // namespace dms::cli
