// dms bench: speed and memory of whole models, as shares of what the machine can do.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "cli/adapter_use.h"
#include "cli/bench_methods.h"
#include "cli/bench_methods_report.h"
#include "cli/bench_options.h"
#include "cli/bench_policy.h"
#include "cli/bench_report.h"
#include "cli/bench_serving.h"
#include "cli/bench_sessions.h"
#include "cli/command.h"
#include "cli/eval_report.h"
#include "cli/eval_run.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/peak_memory.h"
#include "cli/progress.h"
#include "cli/roofline.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr int64_t kWarmUpTokens = 32;

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Random prompts, the same for the same seed.
class Prompts {
 public:
  Prompts(uint64_t seed, int64_t vocab) : random_(seed), vocab_(static_cast<uint64_t>(vocab)) {}

  std::vector<int32_t> next(int64_t tokens) {
    std::vector<int32_t> ids(static_cast<size_t>(tokens));
    for (int32_t& id : ids) id = static_cast<int32_t>(random_() % vocab_);
    return ids;
  }

 private:
  std::mt19937_64 random_;
  uint64_t vocab_;
};

/// One setting and what the measurements of it need.
struct Case {
  int64_t prompt_tokens;
  int64_t concurrency;
  const BenchPolicy* policy;
};

class Bench {
 public:
  Bench(LLM& llm, const BenchOptions& options)
      : llm_(llm), options_(options), prompts_(options.seed, llm.info().vocab) {}

  void warm_up();
  BenchRun measure(const Case& c);
  FittingSessions count_sessions(const BenchPolicy& policy, int64_t prompt_tokens);

 private:
  std::vector<Session> open_sessions(const Case& c, const std::optional<Session>& filled);
  void measure_prefill(const Case& c, std::vector<Session>& sessions, BenchRun& run);
  void measure_decode(const Case& c, std::vector<Session>& sessions, BenchRun& run);
  void measure_serving(const Case& c, BenchRun& run);

  LLM& llm_;
  const BenchOptions& options_;
  Prompts prompts_;
};

void Bench::warm_up() {
  const int64_t tokens = std::min(kWarmUpTokens, llm_.info().context - 2);
  if (tokens < 1) return;
  Session session = llm_.new_session();
  SamplingParams params{.max_new_tokens = 2, .ignore_eos = true};
  session.generate(prompts_.next(tokens), params);
}

std::vector<Session> Bench::open_sessions(const Case& c, const std::optional<Session>& filled) {
  std::vector<Session> sessions;
  for (int64_t i = 0; i < c.concurrency; ++i) {
    sessions.push_back(filled ? filled->fork() : llm_.new_session(c.policy->cache));
  }
  return sessions;
}

void Bench::measure_prefill(const Case& c, std::vector<Session>& sessions, BenchRun& run) {
  ProgressLine progress(fmt::format("prefill {} x {}", c.concurrency, c.prompt_tokens));
  double seconds = 0;
  double attention_s = 0;
  for (Session& session : sessions) {
    const std::vector<int32_t> ids = prompts_.next(c.prompt_tokens);
    const double attention_before = session.timings().attention_s;
    const double start = now_s();
    session.append(ids, progress.callback());
    seconds += now_s() - start;
    attention_s += session.timings().attention_s - attention_before;
  }
  const ModelInfo& info = llm_.info();
  const int64_t window = c.policy->plan.window_tokens;
  const int64_t tokens = options_.context_tokens + c.prompt_tokens;
  const Visibility visibility{
      .window_tokens = window,
      .keep = kept_share(info, tokens, sessions.front().kv().held_tokens, window)};
  const auto count = static_cast<double>(c.concurrency);
  const PrefillFlops flops =
      prefill_flops(info, options_.context_tokens, c.prompt_tokens, visibility);
  run.prefill_tok_s.values.push_back(count * static_cast<double>(c.prompt_tokens) / seconds);
  run.attention_s.values.push_back(attention_s);
  run.prefill_products_s.values.push_back(count * flops.products / seconds);
  run.prefill_attention_s.values.push_back(count * flops.attention / seconds);
}

void Bench::measure_decode(const Case& c, std::vector<Session>& sessions, BenchRun& run) {
  ProgressLine progress(fmt::format("decode {} x {}", c.concurrency, options_.gen_tokens));
  progress.show("");
  std::vector<std::vector<int32_t>> starts;
  for (int64_t i = 0; i < c.concurrency; ++i) starts.push_back(prompts_.next(1));
  const KvStats before = llm_.kv(sessions);
  // The token that follows the start is not counted as decoded: its pass is a prompt's.
  const SamplingParams params{.max_new_tokens = options_.gen_tokens + 1, .ignore_eos = true};
  const std::vector<Generation> results = llm_.generate(sessions, starts, params);
  double seconds = 0;
  double attention_s = 0;
  int64_t tokens = 0;
  for (const Generation& result : results) {
    if (!result.error.empty()) throw RunError({.what = result.error});
    seconds = std::max(seconds, result.timings.decode_s);  // the sequences run side by side
    attention_s = std::max(attention_s, result.timings.attention_s);
    tokens += result.timings.decode_tokens;
  }
  if (tokens == 0) return;
  const KvStats after = llm_.kv(sessions);
  const double entry_bytes =
      static_cast<double>(after.dense_bytes) / static_cast<double>(after.dense_tokens);
  const double kv_bytes =
      entry_bytes * static_cast<double>(before.held_tokens + after.held_tokens) / 2;
  const double read_bytes = decode_weight_bytes(llm_.info());
  const double steps = static_cast<double>(tokens) / static_cast<double>(c.concurrency);
  run.decode_tok_s.values.push_back(static_cast<double>(tokens) / seconds);
  run.decode_attention_s.values.push_back(attention_s);
  run.decode_bytes_s.values.push_back((read_bytes + kv_bytes) * steps / seconds);
}

void Bench::measure_serving(const Case& c, BenchRun& run) {
  std::vector<std::vector<int32_t>> prompts;
  for (int64_t i = 0; i < c.concurrency; ++i) prompts.push_back(prompts_.next(c.prompt_tokens));
  const SamplingParams params{.max_new_tokens = options_.gen_tokens, .ignore_eos = true};
  if (!run.served) run.served.emplace();
  serve_together(llm_, prompts, c.policy->cache, params, *run.served);
}

FittingSessions Bench::count_sessions(const BenchPolicy& policy, int64_t prompt_tokens) {
  return count_fitting_sessions(
      llm_, policy, prompt_tokens, [this](int64_t tokens) { return prompts_.next(tokens); });
}

BenchRun Bench::measure(const Case& c) {
  BenchRun run{.prompt_tokens = c.prompt_tokens,
               .context_tokens = options_.context_tokens,
               .concurrency = c.concurrency,
               .gen_tokens = options_.gen_tokens,
               .policy = c.policy->label};
  std::optional<Session> filled;
  if (options_.context_tokens > 0) {
    ProgressLine progress("fill the context");
    filled.emplace(llm_.new_session(c.policy->cache));
    filled->append(prompts_.next(options_.context_tokens), progress.callback());
  }
  for (int64_t i = 0; i < options_.repeats; ++i) {
    std::vector<Session> sessions = open_sessions(c, filled);
    measure_prefill(c, sessions, run);
    if (options_.gen_tokens > 0) measure_decode(c, sessions, run);
    run.kv = llm_.kv(sessions);
  }
  // After the sessions have given their memory back.
  for (int64_t i = 0; options_.serves && i < options_.repeats; ++i) measure_serving(c, run);
  return run;
}

ModelSource open_source(const BenchOptions& options) {
  if (options.config.empty()) return ModelSource(options.model, options.model_options);
  return ModelSource::with_random_weights(
      seekable_file(options.config), options.seed, options.model_options);
}

void check_lengths(const BenchOptions& options, int64_t max_tokens) {
  const int64_t beside =
      options.sessions ? 0 : options.context_tokens + options.gen_tokens + 2;  // the prompt
  const int64_t longest = *std::ranges::max_element(options.prompt_lens) + beside;
  if (longest <= max_tokens) return;
  throw InputError({.where = "--prompt-lens",
                    .what = "context, prompt and generated tokens exceed the model's context",
                    .got = fmt::format("{}", longest),
                    .expected = fmt::format("at most {}", max_tokens)});
}

std::vector<BenchPolicy> bench_policies(const BenchOptions& options, const ModelSource& source) {
  const ModelInfo& info = source.info();
  std::vector<BenchPolicy> policies =
      parse_bench_policies(options.policies, with_seekable_files(options.cache));
  plan_policies(source, policies);
  for (BenchPolicy& policy : policies) {
    if (policy.label.empty()) policy.label = info.policy;
    check_lengths(options, policy.plan.max_tokens);
  }
  return policies;
}

BenchReport open_report(const BenchOptions& options, const ModelInfo& info) {
  BenchReport report{.model = options.model.empty() ? options.config : options.model,
                     .info = info,
                     .dtype = options.model_options.dtype,
                     .weights = info.weights};
  report.weight_bytes = static_cast<int64_t>(weight_bytes(info));
  return report;
}

MachineProbe probe(const BenchOptions& options) {
  ProgressLine progress("probing");
  progress.show("bandwidth and arithmetic");
  return probe_machine(options.model_options.threads);
}

/// The model is gone when this returns, so that it does not stand in the probe's way.
void measure_all(const BenchOptions& options,
                 ModelSource source,
                 const std::vector<BenchPolicy>& policies,
                 BenchReport& report) {
  const double start = now_s();
  LLM llm = load_model(std::move(source), report.model, options.json);
  report.load_s = now_s() - start;
  Bench runner(llm, options);
  if (options.sessions) {
    for (const BenchPolicy& policy : policies) {
      for (const int64_t prompt : options.prompt_lens) {
        report.sessions.push_back(runner.count_sessions(policy, prompt));
      }
    }
    return;
  }
  runner.warm_up();
  for (const BenchPolicy& policy : policies) {
    for (const int64_t concurrency : options.concurrencies) {
      for (const int64_t prompt : options.prompt_lens) {
        report.runs.push_back(runner.measure(
            {.prompt_tokens = prompt, .concurrency = concurrency, .policy = &policy}));
      }
    }
  }
}

void bench_methods(const BenchOptions& options) {
  check_report_files(options.csv, options.html, options.out);
  bool has_numbers = false;
  try {
    measure_methods(options, [&](const std::vector<MethodRun>& rows) {
      has_numbers = std::ranges::any_of(rows, &std::string::empty, &MethodRun::failure);
      write_methods(options, rows);
    });
  } catch (const Interrupted& interrupted) {
    end_as_interrupted(interrupted);
  }
  if (!has_numbers) throw RunError({.where = "--methods", .what = "none could be measured"});
}

void bench(const BenchOptions& options) {
  ModelSource source = open_source(options);
  const std::vector<BenchPolicy> policies = bench_policies(options, source);
  std::vector<CacheOptions> caches;
  for (const BenchPolicy& policy : policies) caches.push_back(policy.cache);
  note_idle_adapter(options.model_options.adapter, caches, source.info());
  BenchReport report = open_report(options, source.info());
  measure_all(options, std::move(source), policies, report);
  report.peak_rss_bytes = peak_rss_bytes();  // before the probe, whose buffer is not the model's
  report.machine = probe(options);
  note_idle_policies(report_json(report)["runs"], "policy");
  if (options.json) {
    print_json(report_json(report));
  } else {
    const size_t columns = stdout_columns();
    print(report_head(report, columns));
    if (!options.sessions) print(runs_table(report, columns));
    const std::string more = served_table(report, columns) + sessions_table(report, columns);
    print(more.empty() || options.sessions ? more : "\n" + more);
  }
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  add_bench_options(app, *options);
  return [options, &app] {
    settle_bench_options(app, *options);
    options->methods.empty() ? bench(*options) : bench_methods(*options);
  };
}

}  // namespace

Command bench_command() {
  return {.name = "bench",
          .summary = "Measure prefill, decode and memory against the machine's best",
          .examples =
              "  dms bench models/demo --prompt-lens 512,2048 --gen 32 --repeat 3\n"
              "  dms bench --config configs/shapes/llama-3.2-1b.json --random-weights \\\n"
              "      --policy none,random:cr=8\n"
              "  dms bench models/demo --context 3000 --prompt-lens 1 --concurrency 1,8\n"
              "  dms bench models/demo --policy none,random:cr=8 --prompt-lens 4000 \\\n"
              "      --kv-memory 64MiB --sessions\n"
              "  dms bench MODEL --prompt-lens 4096,8192 --gen 128 \\\n"
              "      --methods none,snapkv:budget=50%,streaming:recent_size=12.5% \\\n"
              "      --out methods --html methods.html\n",
          .define = define};
}

}  // namespace dms::cli
