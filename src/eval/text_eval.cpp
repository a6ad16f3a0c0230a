#include "eval/text_eval.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "dms/error.h"
#include "eval/divergence.h"
#include "eval/kv_record.h"
#include "eval/log_likelihood.h"
#include "eval/relative_size.h"
#include "eval/window_run.h"

namespace dms::eval {
namespace {

std::string key_of(const Contender& contender, const ScoreWindow& window) {
  return fmt::format("{} {}", key_of(contender), window.begin);
}

/// The cache that others are compared with.
CacheOptions reference_cache() { return {.policy = "none"}; }

bool is_reference(const Contender& contender) {
  const CacheOptions& cache = contender.cache;
  return cache.policy == "none" && cache.kv_dtype.empty() && contender.variant == Variant{};
}

/// A likelihood of such a row would be no number.
void require_finite(std::span<const float> row, int64_t token, const std::string& label) {
  const auto bad = std::ranges::find_if_not(row, [](float logit) { return std::isfinite(logit); });
  if (bad == row.end()) return;
  throw RunError({.where = fmt::format("{}: logits for token {}", label, token),
                  .what = "the model's logits are not finite",
                  .got = fmt::format("{} for token id {}", *bad, bad - row.begin()),
                  .expected = "finite numbers"});
}

/// The reference's rows for a window's scored tokens.
class ReferenceRows {
 public:
  void start(int64_t first, int64_t count, int64_t vocab) {
    first_ = first;
    vocab_ = static_cast<size_t>(vocab);
    rows_.clear();
    rows_.reserve(static_cast<size_t>(count) * vocab_);
  }
  void add(std::span<const float> row) { rows_.insert(rows_.end(), row.begin(), row.end()); }
  std::span<const float> row(int64_t token) const {
    return std::span(rows_).subspan(static_cast<size_t>(token - first_) * vocab_, vocab_);
  }

 private:
  int64_t first_ = 0;
  size_t vocab_ = 0;
  std::vector<float> rows_;  // [scored tokens, vocab]
};

constexpr const char* kKept = "kept";  // a digit for each token, of the share of heads
constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuvwxyz";

std::string digits_of(const std::vector<double>& shares) {
  std::string digits;
  for (const double share : shares) {
    digits +=
        kDigits[static_cast<size_t>(std::lround(share * static_cast<double>(kDigits.size() - 1)))];
  }
  return digits;
}

std::vector<double> shares_of(std::string_view digits) {
  std::vector<double> shares;
  for (const char digit : digits) {
    const size_t value = std::min(kDigits.find(digit), kDigits.size() - 1);
    shares.push_back(static_cast<double>(value) / static_cast<double>(kDigits.size() - 1));
  }
  return shares;
}

/// What a window's rows add up to.
struct Sums {
  double nll = 0;
  double kld = 0;
  int64_t scored = 0;
  int64_t same = 0;
  int64_t before_divergence = 0;

  void compare(const Divergence& found) {
    kld += found.kld;
    if (found.has_same_choice && same == scored) ++before_divergence;
    same += found.has_same_choice ? 1 : 0;
  }
};

Record record_of(const Sums& sums, const WindowRun& run, bool is_compared) {
  Record record;
  auto& numbers = record.numbers;
  numbers["nll"] = sums.nll;
  numbers["scored"] = static_cast<double>(sums.scored);
  if (is_compared) {
    numbers["kld"] = sums.kld;
    numbers["same"] = static_cast<double>(sums.same);
    numbers["before_divergence"] = static_cast<double>(sums.before_divergence);
  }
  numbers["prefill_tokens"] = static_cast<double>(run.prefill_tokens);
  numbers["prefill_s"] = run.prefill_s;
  numbers["decode_tokens"] = static_cast<double>(run.decode_tokens);
  numbers["decode_s"] = run.decode_s;
  put_memory(run.memory, record);
  if (!run.kept.empty()) record.texts[kKept] = digits_of(run.kept);
  return record;
}

class TextEvaluation {
 public:
  TextEvaluation(const TextPlan& plan,
                 const ModelWith& model_with,
                 const OnStep& on_step,
                 Store& store)
      : plan_(plan), model_with_(model_with), on_step_(on_step), store_(store) {}

  void run() {
    for (const ScoreWindow& window : plan_.windows) total_ += work_of(window);
    for (const ScoreWindow& window : plan_.windows) score(window);
  }

 private:
  static int64_t tokens_of(const ScoreWindow& window) { return window.end - window.begin; }
  std::vector<const Contender*> missing(const ScoreWindow& window) const;
  /// Whether the reference has to be computed for those that are missing.
  bool wants_reference(const std::vector<const Contender*>& contenders) const {
    return plan_.has_reference && !contenders.empty();
  }
  int64_t work_of(const ScoreWindow& window) const;
  void score(const ScoreWindow& window);
  Record run_reference(const ScoreWindow& window);
  Record run(const Contender& contender, const ScoreWindow& window);
  WindowRun run_rows(const Contender& contender, const ScoreWindow& window, const OnRow& on_row);
  void count(Sums& sums, int64_t token, std::span<const float> row) const {
    sums.nll += negative_log_likelihood(row, plan_.ids[static_cast<size_t>(token)]);
  }

  const TextPlan& plan_;
  const ModelWith& model_with_;
  const OnStep& on_step_;
  Store& store_;
  ReferenceRows reference_;
  int64_t done_ = 0;
  int64_t total_ = 0;
};

std::vector<const Contender*> TextEvaluation::missing(const ScoreWindow& window) const {
  std::vector<const Contender*> contenders;
  for (const Contender& contender : plan_.contenders) {
    if (store_.find(key_of(contender, window)) == nullptr) contenders.push_back(&contender);
  }
  return contenders;
}

int64_t TextEvaluation::work_of(const ScoreWindow& window) const {
  const std::vector<const Contender*> contenders = missing(window);
  const bool is_extra = wants_reference(contenders) &&
                        std::ranges::none_of(contenders, [](const Contender* contender) {
                          return is_reference(*contender);
                        });
  return tokens_of(window) * (std::ssize(contenders) + (is_extra ? 1 : 0));
}

void TextEvaluation::score(const ScoreWindow& window) {
  const std::vector<const Contender*> contenders = missing(window);
  Record of_reference;
  if (wants_reference(contenders)) of_reference = run_reference(window);
  for (const Contender* contender : contenders) {
    const bool is_done = plan_.has_reference && is_reference(*contender);
    store_.put(key_of(*contender, window), is_done ? of_reference : run(*contender, window));
  }
}

Record TextEvaluation::run_reference(const ScoreWindow& window) {
  const Contender contender{.label = "reference", .cache = reference_cache()};
  const int64_t vocab = model_with_(contender.variant).info().vocab;
  reference_.start(window.first_scored, window.end - window.first_scored, vocab);
  Sums sums;
  const WindowRun run = run_rows(contender, window, [&](int64_t token, std::span<const float> row) {
    count(sums, token, row);
    sums.compare({});
    ++sums.scored;
    reference_.add(row);
  });
  return record_of(sums, run, true);
}

Record TextEvaluation::run(const Contender& contender, const ScoreWindow& window) {
  Sums sums;
  const WindowRun run = run_rows(contender, window, [&](int64_t token, std::span<const float> row) {
    count(sums, token, row);
    if (plan_.has_reference) sums.compare(divergence(reference_.row(token), row));
    ++sums.scored;
  });
  return record_of(sums, run, plan_.has_reference);
}

WindowRun TextEvaluation::run_rows(const Contender& contender,
                                   const ScoreWindow& window,
                                   const OnRow& on_row) {
  LLM& llm = model_with_(contender.variant);
  const auto index =
      std::ranges::find(plan_.windows, window.begin, &ScoreWindow::begin) - plan_.windows.begin();
  const auto tell = [&](int64_t done) {
    on_step_({.what = fmt::format(
                  "{}, window {} of {}", contender.label, index + 1, plan_.windows.size()),
              .done = done_ + done,
              .total = total_});
  };
  tell(0);
  WindowRun result = run_window(
      llm,
      sized_for(contender.cache, plan_.context),
      plan_.ids,
      window,
      plan_.decode_tokens,
      [&](int64_t token, std::span<const float> row) {
        require_finite(row, token, contender.label);
        on_row(token, row);
      },
      tell);
  done_ += tokens_of(window);
  return result;
}

/// Sums of a contender's records over the windows that it has.
struct Total {
  std::map<std::string, double> numbers;
  MemoryTotal memory;
  int64_t windows = 0;
  std::vector<const ScoreWindow*> done;
};

Total total_of(const TextPlan& plan, const Store& store, const Contender& contender) {
  Total total;
  for (const ScoreWindow& window : plan.windows) {
    const Record* record = store.find(key_of(contender, window));
    if (record == nullptr) continue;
    ++total.windows;
    total.done.push_back(&window);
    for (const auto& [name, value] : record->numbers) total.numbers[name] += value;
    total.memory.add(*record);
  }
  return total;
}

/// Mean negative log-likelihood over these windows; nothing where one of them is not done.
std::optional<double> nll_over(const std::vector<const ScoreWindow*>& windows,
                               const Store& store,
                               const Contender& contender) {
  double nll = 0;
  double scored = 0;
  for (const ScoreWindow* window : windows) {
    const Record* record = store.find(key_of(contender, *window));
    if (record == nullptr) return std::nullopt;
    nll += record->number("nll");
    scored += record->number("scored");
  }
  return nll / scored;
}

double rate(double count, double seconds) { return seconds > 0 ? count / seconds : 0.0; }

TextRow row_of(const Contender& contender, Total& total, bool has_reference) {
  auto& numbers = total.numbers;
  TextRow row{.label = contender.label,
              .windows = total.windows,
              .scored_tokens = static_cast<int64_t>(numbers["scored"]),
              .nll = numbers["nll"] / numbers["scored"],
              .kv = total.memory.kv,
              .kv_bytes = total.memory.kv_bytes,
              .peak_bytes = total.memory.peak_bytes,
              .prefill_tok_s = rate(numbers["prefill_tokens"], numbers["prefill_s"]),
              .decode_tok_s = rate(numbers["decode_tokens"], numbers["decode_s"])};
  if (has_reference) {
    row.kld = numbers["kld"] / numbers["scored"];
    row.token_match = numbers["same"] / numbers["scored"];
    row.before_divergence = numbers["before_divergence"] / static_cast<double>(total.windows);
  }
  return row;
}

}  // namespace

double TextRow::ppl() const { return std::exp(nll); }

void evaluate_text(const TextPlan& plan,
                   const ModelWith& model_with,
                   const OnStep& on_step,
                   Store& store) {
  TextEvaluation(plan, model_with, on_step, store).run();
}

std::vector<PlannedRecord> planned_records(const TextPlan& plan) {
  const auto form = std::make_shared<const Record>(record_of({}, {}, plan.has_reference));
  std::vector<PlannedRecord> records;
  for (const ScoreWindow& window : plan.windows) {
    for (const Contender& contender : plan.contenders) {
      records.push_back(
          {.policy = contender.label, .key = key_of(contender, window), .form = form});
    }
  }
  return records;
}

std::vector<TextRow> text_rows(const TextPlan& plan, const Store& store) {
  ensure(!plan.contenders.empty(), "something to compare");
  const auto none = std::ranges::find_if(
      plan.contenders, [](const Contender& contender) { return contender.label == "none"; });
  const Contender& base = none == plan.contenders.end() ? plan.contenders.front() : *none;
  std::vector<TextRow> rows;
  for (const Contender& contender : plan.contenders) {
    Total total = total_of(plan, store, contender);
    if (total.windows == 0) continue;
    rows.push_back(row_of(contender, total, plan.has_reference));
    rows.back().prompt_tokens = plan.windows.front().first_scored;
    const Record* first = store.find(key_of(contender, plan.windows.front()));
    if (first != nullptr && first->texts.contains(kKept)) {
      rows.back().kept = shares_of(first->texts.at(kKept));
    }
    const std::optional<double> before = nll_over(total.done, store, base);
    if (before) rows.back().ppl_change = std::exp(rows.back().nll - *before) - 1;
  }
  return rows;
}

}  // namespace dms::eval
