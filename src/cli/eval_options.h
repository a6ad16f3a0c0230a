#pragma once
// The options of `dms eval`.

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/input.h"
#include "dms/llm.h"

namespace dms::cli {

struct EvalOptions {
  std::string action;  // ppl, kld, needle, ruler, longbench
  std::string model;
  std::string policies;
  ModelOptions model_options;
  CacheOptions cache;

  std::string out;
  bool force = false;         // measure again what `out` holds
  bool keeps_others = false;  // but keep what is not asked for, where its settings are the same
  std::set<std::string> renewed{};  // policies that were measured again before, and are kept too
  bool is_recalled = false;         // nothing is measured: what `out` holds is told
  std::string csv;
  std::string html;
  bool json = false;
  std::string caption;  // the progress line begins with it; empty: with the action

  // Of ppl and kld.
  PromptSource text;
  std::optional<int64_t> context;
  bool is_filled = false;  // a text shorter than `context` is refused
  std::optional<int64_t> stride;
  std::optional<int64_t> first_scored;
  std::optional<int64_t> max_tokens;
  int64_t decode_tokens = 16;

  // Of needle, ruler and longbench.
  std::vector<int64_t> lengths{};  // empty: not given
  int64_t samples = 10;
  uint64_t seed = 42;
  std::string haystack;
  bool hides_question = false;
  bool is_chat = false;

  std::vector<int64_t> depths{0, 25, 50, 75, 100};  // per cent
  int64_t digits = 7;
  std::vector<std::string> tasks{};  // empty: all
  std::string squad;
  std::string hotpot;
  std::string data;                      // LongBench's folder
  std::vector<std::string> segmenter{};  // a command in words

  bool is_text() const { return action == "ppl" || action == "kld"; }
};

void add_eval_options(CLI::App& app, EvalOptions& options);
/// Throws InputError on an unknown action, and on options that are another action's.
void settle_eval_options(const CLI::App& app, const EvalOptions& options);

}  // namespace dms::cli
