#include "eval/task_eval.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "eval/kv_record.h"
#include "eval/relative_size.h"

namespace dms::eval {
namespace {

std::string key_of(const Contender& contender, const TaskItem& item) {
  return fmt::format("{} {} {} {}", item.task, item.cell, item.index, key_of(contender));
}

Record record_of(const Timings& timings,
                 const CacheMemory& memory,
                 const std::string& answer,
                 const std::vector<std::string>& references,
                 std::optional<double> score) {
  Record record;
  record.texts["answer"] = answer;
  record.texts["expected"] = fmt::format("{}", fmt::join(references, ", "));
  record.numbers = {{"prefill_tokens", static_cast<double>(timings.prefill_tokens)},
                    {"prefill_s", timings.prefill_s},
                    {"decode_tokens", static_cast<double>(timings.decode_tokens)},
                    {"decode_s", timings.decode_s}};
  if (score) record.numbers["score"] = *score;
  put_memory(memory, record);
  return record;
}

/// An answer and what it cost.
Record answer(LLM& llm,
              const CacheOptions& cache,
              const PromptTokens& tokens,
              const TaskItem& item,
              const std::vector<std::string>& references,
              const std::function<void()>& on_pass) {
  Session session = llm.new_session(cache);
  CacheMemory memory;
  const auto look = [&](int64_t, int64_t) {
    memory.peak_bytes = std::max(memory.peak_bytes, session.kv().allocated_bytes);
    on_pass();
  };
  std::span<const int32_t> question = tokens.question;
  if (!tokens.context.empty()) {
    session.append(tokens.context, look);
    // One by one: a single token is no prompt, so the policy ranks no question.
    for (; question.size() > 1; question = question.subspan(1)) {
      session.append(question.first(1), look);
    }
  }
  std::string text;
  const auto take = [&](std::string_view piece) {
    on_pass();
    text += piece;
    return item.score || !is_decided(text, references, item.rule);
  };
  const Generation result =
      session.generate(question, {.max_new_tokens = item.answer_tokens}, take, look);
  if (!result.error.empty()) throw RunError({.what = result.error});
  look(0, 0);
  memory.kv = session.kv();
  std::optional<double> score;
  if (!item.is_scored_last) {
    score = item.score ? item.score(result.text) : score_answer(result.text, references, item.rule);
  }
  return record_of(session.timings(), memory, result.text, references, score);
}

class TaskEvaluation {
 public:
  TaskEvaluation(const TaskPlan& plan,
                 const PromptTokenizer& tokenizer,
                 const ModelWith& model_with,
                 const OnStep& on_step,
                 Store& store)
      : plan_(plan),
        tokenizer_(tokenizer),
        model_with_(model_with),
        on_step_(on_step),
        store_(store) {}

  void run() {
    for (const TaskItem& item : plan_.items) total_ += item.length * std::ssize(missing(item));
    for (const TaskItem& item : plan_.items) run(item);
  }

 private:
  std::vector<const Contender*> missing(const TaskItem& item) const;
  void run(const TaskItem& item);

  const TaskPlan& plan_;
  const PromptTokenizer& tokenizer_;
  const ModelWith& model_with_;
  const OnStep& on_step_;
  Store& store_;
  int64_t done_ = 0;
  int64_t total_ = 0;
};

std::vector<const Contender*> TaskEvaluation::missing(const TaskItem& item) const {
  std::vector<const Contender*> contenders;
  for (const Contender& contender : plan_.contenders) {
    if (store_.find(key_of(contender, item)) == nullptr) contenders.push_back(&contender);
  }
  return contenders;
}

void TaskEvaluation::run(const TaskItem& item) {
  const std::vector<const Contender*> contenders = missing(item);
  if (contenders.empty()) return;
  const tasks::RulerPrompt prompt = item.write();
  const PromptTokens tokens = tokenizer_.encode(prompt, plan_.hides_question);
  for (const Contender* contender : contenders) {
    LLM& llm = model_with_(contender->variant);
    const auto tell = [&] {
      on_step_({.what = fmt::format(
                    "{} {} #{}, {}", item.task, item.cell, item.index + 1, contender->label),
                .done = done_,
                .total = total_});
    };
    tell();
    store_.put(
        key_of(*contender, item),
        answer(llm, sized_for(contender->cache, item.length), tokens, item, prompt.answers, tell));
    done_ += item.length;
  }
}

/// Sums of records, as a score.
class ScoreSum {
 public:
  void add(const TaskItem& item, const Record& record) {
    score_.score +=
        item.is_scored_last ? item.score(record.text("answer")) : record.number("score");
    ++score_.samples;
    memory_.add(record);
    prefill_tokens_ += record.number("prefill_tokens");
    prefill_s_ += record.number("prefill_s");
    decode_tokens_ += record.number("decode_tokens");
    decode_s_ += record.number("decode_s");
  }
  TaskScore mean(const std::string& label) const {
    TaskScore score = score_;
    score.label = label;
    if (score.samples > 0) score.score /= static_cast<double>(score.samples);
    score.kv = memory_.kv;
    score.kv_bytes = memory_.kv_bytes;
    score.peak_bytes = memory_.peak_bytes;
    score.prefill_tok_s = prefill_s_ > 0 ? prefill_tokens_ / prefill_s_ : 0;
    score.decode_tok_s = decode_s_ > 0 ? decode_tokens_ / decode_s_ : 0;
    return score;
  }

 private:
  TaskScore score_;
  MemoryTotal memory_;
  double prefill_tokens_ = 0;
  double prefill_s_ = 0;
  double decode_tokens_ = 0;
  double decode_s_ = 0;
};

/// Whether those that are scored last can be.
bool hear_last(const TaskPlan& plan, const Store& store) {
  std::vector<std::string> answers;
  for (const TaskItem& item : plan.items) {
    if (!item.is_scored_last) continue;
    for (const Contender& contender : plan.contenders) {
      const Record* record = store.find(key_of(contender, item));
      if (record != nullptr) answers.push_back(record->text("answer"));
    }
  }
  return !answers.empty() && plan.before_last(answers);
}

TaskRow row_of(const TaskPlan& plan, const Store& store, const TaskItem& of) {
  TaskRow row{.task = of.task, .cell = of.cell, .scores = {}};
  for (const Contender& contender : plan.contenders) {
    ScoreSum sum;
    for (const TaskItem& item : plan.items) {
      if (item.task != of.task || item.cell != of.cell) continue;
      const Record* record = store.find(key_of(contender, item));
      if (record != nullptr) sum.add(item, *record);
    }
    row.scores.push_back(sum.mean(contender.label));
  }
  return row;
}

}  // namespace

void evaluate_tasks(const TaskPlan& plan,
                    const PromptTokenizer& tokenizer,
                    const ModelWith& model_with,
                    const OnStep& on_step,
                    Store& store) {
  TaskEvaluation(plan, tokenizer, model_with, on_step, store).run();
}

std::vector<PlannedRecord> planned_records(const TaskPlan& plan) {
  const auto scored = std::make_shared<const Record>(record_of({}, {}, "", {}, 0.0));
  const auto scored_last = std::make_shared<const Record>(record_of({}, {}, "", {}, std::nullopt));
  std::vector<PlannedRecord> records;
  for (const TaskItem& item : plan.items) {
    for (const Contender& contender : plan.contenders) {
      records.push_back({.policy = contender.label,
                         .key = key_of(contender, item),
                         .form = item.is_scored_last ? scored_last : scored});
    }
  }
  return records;
}

std::vector<TaskRow> task_rows(const TaskPlan& plan, const Store& store) {
  const bool has_last = hear_last(plan, store);
  std::vector<TaskRow> rows;
  for (const TaskItem& item : plan.items) {
    if (item.is_scored_last && !has_last) continue;
    const bool is_there = std::ranges::any_of(rows, [&item](const TaskRow& row) {
      return row.task == item.task && row.cell == item.cell;
    });
    if (is_there) continue;
    TaskRow row = row_of(plan, store, item);
    const bool has_samples =
        std::ranges::any_of(row.scores, [](const TaskScore& score) { return score.samples > 0; });
    if (has_samples) rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<TaskScore> task_means(const std::vector<TaskRow>& rows) {
  std::vector<TaskScore> means;
  if (rows.empty()) return means;
  for (size_t i = 0; i < rows.front().scores.size(); ++i) {
    TaskScore mean{.label = rows.front().scores[i].label};
    bool is_whole = true;
    for (const TaskRow& row : rows) {
      const TaskScore& score = row.scores[i];
      is_whole = is_whole && score.samples > 0;
      mean.score += score.score / static_cast<double>(std::ssize(rows));
      mean.samples += score.samples;
      mean.kv.dense_tokens += score.kv.dense_tokens;
      mean.kv.held_tokens += score.kv.held_tokens;
      mean.kv.dense_bytes += score.kv.dense_bytes;
      mean.kv.allocated_bytes += score.kv.allocated_bytes;
      mean.kv_bytes = std::max(mean.kv_bytes, score.kv_bytes);
      mean.peak_bytes = std::max(mean.peak_bytes, score.peak_bytes);
    }
    if (!is_whole) mean.samples = 0;
    mean.kv.cr = mean.kv.held_tokens > 0 ? static_cast<double>(mean.kv.dense_tokens) /
                                               static_cast<double>(mean.kv.held_tokens)
                                         : 1.0;
    mean.kv.cr_bytes = mean.kv.allocated_bytes > 0
                           ? static_cast<double>(mean.kv.dense_bytes) /
                                 static_cast<double>(mean.kv.allocated_bytes)
                           : 1.0;
    means.push_back(std::move(mean));
  }
  return means;
}

}  // namespace dms::eval
