#include "cli/bench_methods.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "cli/eval_policies.h"
#include "cli/eval_run.h"
#include "cli/peak_memory.h"
#include "cli/progress.h"
#include "cli/roofline.h"
#include "cli/text_table.h"
#include "dms/error.h"
#include "eval/prompt_tokens.h"
#include "eval/relative_size.h"
#include "eval/task_eval.h"
#include "tasks/haystack.h"

namespace dms::cli {
namespace {

constexpr const char* kOption = "--methods";
constexpr double kDepth = 0.5;
constexpr int64_t kDigits = 7;

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// A prompt of so many tokens with its answer's, and what is to be found.
struct NeedlePrompt {
  std::vector<int32_t> ids;
  std::vector<std::string> answers;
};

class MethodBench {
 public:
  explicit MethodBench(const BenchOptions& options);

  std::vector<MethodRun> run();

 private:
  void check_length(int64_t context) const;
  NeedlePrompt prompt(int64_t context, int64_t index) const;
  void measure(const eval::Contender& method, int64_t index, MethodRun& run);

  const BenchOptions& options_;
  EvalOptions model_;
  std::vector<eval::Contender> methods_;
  EvalModels models_;
  eval::PromptTokenizer tokenizer_;
};

EvalOptions model_of(const BenchOptions& options) {
  EvalOptions model;
  model.model = options.model;
  model.model_options = options.model_options;
  model.json = options.json;
  return model;
}

MethodBench::MethodBench(const BenchOptions& options)
    : options_(options),
      model_(model_of(options)),
      methods_(parse_contenders(options.methods, options.cache, kOption)),
      models_(model_, methods_),
      tokenizer_(models_.source().tokenizer(), std::nullopt) {
  const SourceOf source_of = [this](const eval::Variant& variant) -> const ModelSource& {
    return models_.source(variant);
  };
  for (const int64_t context : options.prompt_lens) {
    const int64_t longest = plan_contenders(source_of, methods_, context, kOption);
    if (context > longest) {
      throw InputError({.where = "--prompt-lens",
                        .what = "longer than the model's context",
                        .got = fmt::format("{}", context),
                        .expected = fmt::format("at most {}", longest)});
    }
    check_length(context);
  }
}

/// Before the weights are read.
void MethodBench::check_length(int64_t context) const {
  try {
    prompt(context, 0);
  } catch (const InputError& error) {
    ErrorParts parts = error.parts();
    parts.where = "--prompt-lens";
    throw InputError(parts);
  }
}

NeedlePrompt MethodBench::prompt(int64_t context, int64_t index) const {
  const tasks::Haystack noise;
  const tasks::RulerPrompt made =
      tasks::make_needle_prompt({.length = context, .seed = options_.seed, .essay = &noise},
                                kDepth,
                                false,
                                kDigits,
                                options_.gen_tokens,
                                index,
                                [this](const std::string& text) { return tokenizer_.count(text); });
  return {.ids = tokenizer_.encode(made, false).question, .answers = made.answers};
}

void MethodBench::measure(const eval::Contender& method, int64_t index, MethodRun& run) {
  LLM& llm = models_.with(method.variant);
  const NeedlePrompt needle = prompt(run.context_tokens, index);
  Session session = llm.new_session(eval::sized_for(method.cache, run.context_tokens));
  const auto look = [&](int64_t, int64_t) {
    run.kv_peak_bytes = std::max(run.kv_peak_bytes, session.kv().allocated_bytes);
  };
  const double start = now_s();
  double first = 0;
  const auto take = [&](std::string_view) {
    if (first == 0) first = now_s();
    return true;
  };
  const Generation result = session.generate(
      needle.ids, {.max_new_tokens = options_.gen_tokens, .ignore_eos = true}, take, look);
  if (!result.error.empty()) throw RunError({.where = method.label, .what = result.error});
  const double seconds = now_s() - start;
  look(0, 0);
  const Timings& timings = session.timings();
  run.seconds.values.push_back(seconds);
  run.first_token_s.values.push_back(first > 0 ? first - start : seconds);
  run.tok_s.values.push_back(static_cast<double>(options_.gen_tokens) / seconds);
  run.decode_tok_s.values.push_back(timings.decode_tok_s());
  run.kv = session.kv();
  run.weight_bytes = static_cast<int64_t>(weight_bytes(llm.info()));
  ++run.prompts;
  const double score =
      eval::score_answer(result.text, needle.answers, eval::AnswerRule::begins_right);
  if (score > 0) ++run.found;
}

std::vector<MethodRun> MethodBench::run() {
  std::vector<MethodRun> runs;
  for (const int64_t context : options_.prompt_lens) {
    for (const eval::Contender& method : methods_) {
      MethodRun& run =
          runs.emplace_back(MethodRun{.context_tokens = context, .method = method.label});
      models_.with(method.variant);  // read before the clock runs
      ProgressLine progress(fmt::format(
          "bench {} of {}", runs.size(), options_.prompt_lens.size() * methods_.size()));
      for (int64_t i = 0; i < options_.repeats; ++i) {
        progress.show(
            fmt::format("{} at {}, {} of {}", method.label, context, i + 1, options_.repeats));
        measure(method, i, run);
      }
    }
  }
  return runs;
}

}  // namespace

std::vector<MethodRun> measure_methods(const BenchOptions& options) {
  return MethodBench(options).run();
}

OutputJson methods_json(const BenchOptions& options, const std::vector<MethodRun>& runs) {
  OutputJson rows = OutputJson::array();
  for (const MethodRun& run : runs) {
    rows.push_back({{"context_tokens", run.context_tokens},
                    {"method", run.method},
                    {"seconds", run.seconds.json()},
                    {"first_token_s", run.first_token_s.json()},
                    {"tok_s", run.tok_s.json()},
                    {"decode_tok_s", run.decode_tok_s.json()},
                    {"weight_bytes", run.weight_bytes},
                    {"kv_peak_bytes", run.kv_peak_bytes},
                    {"kv", kv_json(run.kv, false)},
                    {"prompts", run.prompts},
                    {"found", run.found}});
  }
  return {{"model", options.model},
          {"gen_tokens", options.gen_tokens},
          {"seed", options.seed},
          {"peak_rss_bytes", peak_rss_bytes()},
          {"methods", std::move(rows)}};
}

std::string methods_table(const std::vector<MethodRun>& runs, size_t columns) {
  TextTable table({"context",
                   "method",
                   "time s",
                   "first token s",
                   "tok/s",
                   "decode tok/s",
                   "memory",
                   "KV peak",
                   "KV",
                   "needle"});
  for (const MethodRun& run : runs) {
    table.add_row({fmt::format("{}", run.context_tokens),
                   run.method,
                   fmt::format("{:.2f}", run.seconds.median()),
                   fmt::format("{:.2f}", run.first_token_s.median()),
                   fmt::format("{:.1f}", run.tok_s.median()),
                   fmt::format("{:.1f}", run.decode_tok_s.median()),
                   format_bytes(run.weight_bytes + run.kv_peak_bytes),
                   format_bytes(run.kv_peak_bytes),
                   format_bytes(run.kv.allocated_bytes),
                   fmt::format("{}/{}", run.found, run.prompts)});
  }
  return table.str(columns);
}

}  // namespace dms::cli
