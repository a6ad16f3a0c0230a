#include "cli/bench_methods.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <new>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "cli/eval_policies.h"
#include "cli/eval_run.h"
#include "cli/flags.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/roofline.h"
#include "dms/error.h"
#include "eval/kv_record.h"
#include "eval/prompt_tokens.h"
#include "eval/relative_size.h"
#include "eval/store.h"
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

/// A method at a context length.
struct Case {
  int64_t context;
  size_t method;

  auto operator<=>(const Case&) const = default;
};

class MethodBench {
 public:
  explicit MethodBench(const BenchOptions& options);

  void run();
  std::vector<MethodRun> rows() const;

 private:
  void check_length(int64_t context) const;
  void note_short_answers() const;
  NeedlePrompt prompt(int64_t context, int64_t index) const;
  eval::Identity identity() const;
  std::vector<Case> cases() const;
  std::vector<int64_t> missing(const Case& c) const;
  std::string key_of(const Case& c, int64_t index) const;
  eval::Record measure(const Case& c, int64_t index, const std::function<void()>& tell);
  void measure_all(const Case& c, EvalProgress& progress);
  void add(const eval::Record& record, MethodRun& run) const;
  MethodRun row_of(const Case& c) const;

  const BenchOptions& options_;
  EvalOptions model_;
  std::vector<eval::Contender> methods_;
  LongestTexts longest_{};
  EvalModels models_;
  eval::PromptTokenizer tokenizer_;
  eval::Store store_;
  std::map<Case, std::string> failures_;
  int64_t done_tokens_ = 0;
  int64_t total_tokens_ = 0;
};

EvalOptions model_of(const BenchOptions& options) {
  EvalOptions model;
  model.action = "bench --methods";
  model.caption = "bench";
  model.model = options.model;
  model.model_options = options.model_options;
  model.cache = with_seekable_files(options.cache);
  model.out = options.out;
  model.force = options.force;
  model.json = options.json;
  return model;
}

MethodBench::MethodBench(const BenchOptions& options)
    : options_(options),
      model_(model_of(options)),
      methods_(parse_contenders(options.methods, model_.cache, kOption)),
      models_(model_, methods_, kOption),
      tokenizer_(models_.source().tokenizer(), std::nullopt) {
  const SourceOf source_of = [this](const eval::Variant& variant) -> const ModelSource& {
    return models_.source(variant);
  };
  for (const int64_t context : options.prompt_lens) {
    longest_ = plan_contenders(source_of, methods_, context, kOption);
    require_length({.model = longest_.model}, {}, context, "--prompt-lens");
    check_sizes(methods_, context, {}, kOption);
    check_length(context);
  }
  note_short_answers();
  store_ = open_store(model_, identity());
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

/// Speed is measured all the same, so few tokens are no error.
void MethodBench::note_short_answers() const {
  const std::string answer = " " + prompt(options_.prompt_lens.front(), 0).answers.front();
  const int64_t needed = tokenizer_.count(answer) - tokenizer_.count("");
  if (options_.gen_tokens >= needed) return;
  note(
      fmt::format("--gen {}: too few tokens to say the number that is hidden: none will be found "
                  "(expected at least {})",
                  options_.gen_tokens,
                  needed));
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

eval::Identity MethodBench::identity() const {
  eval::Identity identity = common_identity(model_);
  identity.insert(
      {{"gen", std::to_string(options_.gen_tokens)}, {"seed", std::to_string(options_.seed)}});
  return identity;
}

std::vector<Case> MethodBench::cases() const {
  std::vector<Case> cases;
  for (const int64_t context : options_.prompt_lens) {
    for (size_t i = 0; i < methods_.size(); ++i) cases.push_back({.context = context, .method = i});
  }
  return cases;
}

std::string MethodBench::key_of(const Case& c, int64_t index) const {
  return fmt::format("needle {} {} {}", c.context, index, eval::key_of(methods_[c.method]));
}

/// The prompts that are not done.
std::vector<int64_t> MethodBench::missing(const Case& c) const {
  std::vector<int64_t> prompts;
  for (int64_t i = 0; i < options_.repeats; ++i) {
    if (store_.find(key_of(c, i)) == nullptr) prompts.push_back(i);
  }
  return prompts;
}

/// `tell`: called after every pass and token.
eval::Record MethodBench::measure(const Case& c, int64_t index, const std::function<void()>& tell) {
  const eval::Contender& method = methods_[c.method];
  LLM& llm = models_.with(method.variant);
  const NeedlePrompt needle = prompt(c.context, index);
  Session session = llm.new_session(eval::sized_for(method.cache, c.context));
  eval::CacheMemory memory;
  const auto look = [&](int64_t, int64_t) {
    memory.peak_bytes = std::max(memory.peak_bytes, session.kv().allocated_bytes);
    tell();
  };
  const double start = now_s();
  double first = 0;
  const auto take = [&](std::string_view) {
    if (first == 0) first = now_s();
    tell();
    return true;
  };
  const Generation result = session.generate(
      needle.ids, {.max_new_tokens = options_.gen_tokens, .ignore_eos = true}, take, look);
  if (!result.error.empty()) throw RunError({.where = method.label, .what = result.error});
  const double seconds = now_s() - start;
  look(0, 0);
  memory.kv = session.kv();
  const double score =
      eval::score_answer(result.text, needle.answers, eval::AnswerRule::begins_right);
  eval::Record record;
  record.texts = {{"answer", result.text},
                  {"expected", fmt::format("{}", fmt::join(needle.answers, ", "))}};
  record.numbers = {{"seconds", seconds},
                    {"first_token_s", first > 0 ? first - start : seconds},
                    {"decode_tok_s", session.timings().decode_tok_s()},
                    {"weight_bytes", weight_bytes(llm.info())},
                    {"found", score > 0 ? 1 : 0}};
  put_memory(memory, record);
  return record;
}

/// Why some work has no result; empty: it has. A Ctrl-C passes by.
std::string failure_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return in_flags(error);
  } catch (const std::bad_alloc&) {
    return out_of_memory().what();
  }
  return "";
}

/// Tells of a row when it is there: the others may take hours.
std::string line_of(const MethodRun& run) {
  const std::string name = fmt::format("{} at {}", run.method, run.context_tokens);
  if (!run.failure.empty()) return fmt::format("{}: {}", name, run.failure);
  return fmt::format(
      "{}: {:.2f} s, {} of {} found", name, run.seconds.median(), run.found, run.prompts);
}

void MethodBench::measure_all(const Case& c, EvalProgress& progress) {
  const eval::Contender& method = methods_[c.method];
  const std::vector<int64_t> prompts = missing(c);
  if (prompts.empty()) return;
  std::string failure = failure_of([&] {
    require_length(method, longest_.each[c.method], c.context, kOption);
    models_.with(method.variant);  // read before the clock runs
  });
  for (size_t i = 0; failure.empty() && i < prompts.size(); ++i) {
    const auto tell = [&] {
      progress.show(
          {.what = fmt::format(
               "{} at {}, {} of {}", method.label, c.context, prompts[i] + 1, options_.repeats),
           .done = done_tokens_ + static_cast<int64_t>(i) * c.context,
           .total = total_tokens_});
    };
    tell();
    eval::Record record;
    failure = failure_of([&] { record = measure(c, prompts[i], tell); });
    if (failure.empty()) store_.put(key_of(c, prompts[i]), std::move(record));
  }
  if (!failure.empty()) failures_[c] = failure;
  done_tokens_ += std::ssize(prompts) * c.context;
  progress.wipe();
  note(line_of(row_of(c)));
}

void MethodBench::run() {
  EvalProgress progress(model_);
  for (const Case& c : cases()) total_tokens_ += std::ssize(missing(c)) * c.context;
  for (const Case& c : cases()) measure_all(c, progress);
}

void MethodBench::add(const eval::Record& record, MethodRun& run) const {
  eval::MemoryTotal memory;
  memory.add(record);
  const double seconds = record.number("seconds");
  run.seconds.values.push_back(seconds);
  run.first_token_s.values.push_back(record.number("first_token_s"));
  run.tok_s.values.push_back(static_cast<double>(options_.gen_tokens) / seconds);
  run.decode_tok_s.values.push_back(record.number("decode_tok_s"));
  run.weight_bytes = static_cast<int64_t>(record.number("weight_bytes"));
  run.kv_peak_bytes = std::max(run.kv_peak_bytes, memory.peak_bytes);
  run.kv = memory.kv;
  run.found += static_cast<int64_t>(record.number("found"));
  ++run.prompts;
}

MethodRun MethodBench::row_of(const Case& c) const {
  MethodRun run{.context_tokens = c.context, .method = methods_[c.method].label};
  for (int64_t i = 0; i < options_.repeats; ++i) {
    const eval::Record* record = store_.find(key_of(c, i));
    if (record != nullptr) add(*record, run);
  }
  const auto failure = failures_.find(c);
  if (failure != failures_.end()) run.failure = failure->second;
  return run;
}

std::vector<MethodRun> MethodBench::rows() const {
  std::vector<MethodRun> rows;
  for (const Case& c : cases()) {
    MethodRun run = row_of(c);
    if (run.prompts > 0 || !run.failure.empty()) rows.push_back(std::move(run));
  }
  return rows;
}

}  // namespace

void measure_methods(const BenchOptions& options, const MethodSink& sink) {
  MethodBench bench(options);
  measure_and_report([&] { bench.run(); },
                     [&] {
                       const std::vector<MethodRun> rows = bench.rows();
                       sink(rows);
                       return !rows.empty();
                     });
}

}  // namespace dms::cli
