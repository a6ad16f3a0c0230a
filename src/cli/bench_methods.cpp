#include "cli/bench_methods.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <new>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/utf8.h"
#include "cli/eval_policies.h"
#include "cli/eval_run.h"
#include "cli/interrupt_flag.h"
#include "cli/peak_memory.h"
#include "cli/progress.h"
#include "cli/roofline.h"
#include "cli/text_table.h"
#include "dms/error.h"
#include "eval/prompt_tokens.h"
#include "eval/relative_size.h"
#include "eval/task_eval.h"
#include "report/data_table.h"
#include "tasks/haystack.h"

namespace dms::cli {
namespace {

constexpr const char* kOption = "--methods";
constexpr double kDepth = 0.5;
constexpr int64_t kDigits = 7;

constexpr std::array kColumns{"context",
                              "method",
                              "time s",
                              "first token s",
                              "tok/s",
                              "decode tok/s",
                              "memory",
                              "KV peak",
                              "KV",
                              "needle"};

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

  MethodRuns run();

 private:
  void check_length(int64_t context) const;
  NeedlePrompt prompt(int64_t context, int64_t index) const;
  void measure(const eval::Contender& method, int64_t index, MethodRun& run);
  void measure_all(const eval::Contender& method, const std::string& caption, MethodRun& run);
  void stop_if_asked() const {
    if (interrupt_.is_set()) throw Interrupted();
  }

  const BenchOptions& options_;
  EvalOptions model_;
  std::vector<eval::Contender> methods_;
  LongestTexts longest_{};
  EvalModels models_;
  eval::PromptTokenizer tokenizer_;
  InterruptFlag interrupt_;
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
      models_(model_, methods_, kOption),
      tokenizer_(models_.source().tokenizer(), std::nullopt) {
  const SourceOf source_of = [this](const eval::Variant& variant) -> const ModelSource& {
    return models_.source(variant);
  };
  for (const int64_t context : options.prompt_lens) {
    longest_ = plan_contenders(source_of, methods_, context, kOption);
    require_length({.model = longest_.model}, {}, context, "--prompt-lens");
    check_sizes(methods_, context, context, kOption);
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
    parts.field.clear();  // --lengths, elsewhere
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
    stop_if_asked();
  };
  const double start = now_s();
  double first = 0;
  const auto take = [&](std::string_view) {
    if (first == 0) first = now_s();
    stop_if_asked();
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

void MethodBench::measure_all(const eval::Contender& method,
                              const std::string& caption,
                              MethodRun& run) {
  models_.with(method.variant);  // read before the clock runs
  ProgressLine progress(caption);
  for (int64_t i = 0; i < options_.repeats; ++i) {
    progress.show(fmt::format(
        "{} at {}, {} of {}", method.label, run.context_tokens, i + 1, options_.repeats));
    stop_if_asked();
    measure(method, i, run);
  }
}

/// Tells of a row when it is there: the others may take hours.
std::string line_of(const MethodRun& run) {
  const std::string name = fmt::format("{} at {}", run.method, run.context_tokens);
  if (!run.failure.empty()) return fmt::format("{}: {}", name, run.failure);
  return fmt::format(
      "{}: {:.2f} s, {} of {} found", name, run.seconds.median(), run.found, run.prompts);
}

MethodRuns MethodBench::run() {
  MethodRuns runs;
  for (const int64_t context : options_.prompt_lens) {
    for (size_t i = 0; i < methods_.size(); ++i) {
      const eval::Contender& method = methods_[i];
      MethodRun run{.context_tokens = context, .method = method.label};
      const std::string caption = fmt::format(
          "bench {} of {}", runs.rows.size() + 1, options_.prompt_lens.size() * methods_.size());
      try {
        require_length(method, longest_.each[i], context, kOption);
        measure_all(method, caption, run);
      } catch (const Interrupted&) {
        runs.is_interrupted = true;
        return runs;
      } catch (const Error& error) {
        run.failure = error.what();
      } catch (const std::bad_alloc&) {
        run.failure = out_of_memory().what();
      }
      note(line_of(run));
      runs.rows.push_back(std::move(run));
    }
  }
  return runs;
}

std::vector<std::string> cells_of(const MethodRun& run) {
  std::vector<std::string> cells{fmt::format("{}", run.context_tokens), run.method};
  if (!run.failure.empty()) {
    cells.resize(kColumns.size() - 1, "-");
    cells.push_back(run.failure);
    return cells;
  }
  cells.insert(cells.end(),
               {fmt::format("{:.2f}", run.seconds.median()),
                fmt::format("{:.2f}", run.first_token_s.median()),
                fmt::format("{:.1f}", run.tok_s.median()),
                fmt::format("{:.1f}", run.decode_tok_s.median()),
                format_bytes(run.weight_bytes + run.kv_peak_bytes),
                format_bytes(run.kv_peak_bytes),
                format_bytes(run.kv.allocated_bytes),
                fmt::format("{}/{}", run.found, run.prompts)});
  return cells;
}

}  // namespace

bool MethodRuns::has_numbers() const {
  return std::ranges::any_of(rows, [](const MethodRun& run) { return run.failure.empty(); });
}

MethodRuns measure_methods(const BenchOptions& options) { return MethodBench(options).run(); }

OutputJson methods_json(const BenchOptions& options, const std::vector<MethodRun>& runs) {
  OutputJson rows = OutputJson::array();
  for (const MethodRun& run : runs) {
    OutputJson row{{"context_tokens", run.context_tokens}, {"method", run.method}};
    if (!run.failure.empty()) {
      row["failed"] = run.failure;
      rows.push_back(std::move(row));
      continue;
    }
    row.update(OutputJson{{"seconds", run.seconds.json()},
                          {"first_token_s", run.first_token_s.json()},
                          {"tok_s", run.tok_s.json()},
                          {"decode_tok_s", run.decode_tok_s.json()},
                          {"weight_bytes", run.weight_bytes},
                          {"kv_peak_bytes", run.kv_peak_bytes},
                          {"kv", kv_json(run.kv, false)},
                          {"prompts", run.prompts},
                          {"found", run.found}});
    rows.push_back(std::move(row));
  }
  return {{"model", options.model},
          {"gen_tokens", options.gen_tokens},
          {"seed", options.seed},
          {"peak_rss_bytes", peak_rss_bytes()},
          {"methods", std::move(rows)}};
}

std::string methods_table(const std::vector<MethodRun>& runs, size_t columns) {
  const std::vector<std::string> header(kColumns.begin(), kColumns.end());
  report::DataTable table{.title = {}, .header = header, .rows = {}};
  TextTable narrow(header);
  for (const MethodRun& run : runs) {
    table.rows.push_back(cells_of(run));
    narrow.add_row(cells_of(run));
  }
  const std::string markdown = report::to_markdown(table);
  return count_code_points(std::string_view(markdown).substr(0, markdown.find('\n'))) <= columns
             ? markdown
             : narrow.str(columns);
}

}  // namespace dms::cli
