#include "tasks/longbench.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/input_file.h"
#include "base/json.h"
#include "base/suggest.h"
#include "base/utf8.h"
#include "dms/error.h"
#include "tasks/longbench_scores.h"

namespace dms::tasks {
namespace {

using Score = LongBenchScore;

constexpr int64_t kMaxFileBytes = int64_t{1} << 30;

constexpr std::string_view kPassages =
    "Answer the question from the passages. Give the answer alone.\n\nPassages:\n";
constexpr std::string_view kQuestion = "\n\nQuestion: ";
constexpr std::string_view kAnswer = "\nAnswer:";
constexpr std::string_view kChineseQuestion = "\n\n问题：";
constexpr std::string_view kChineseAnswer = "\n回答：";
constexpr std::string_view kExamples = "\n";

constexpr std::array<LongBenchTask, 21> kTasks{{
    {"narrativeqa",
     128,
     Score::word_f1,
     false,
     "Answer the question about the story in as few words as you can.\n\nStory: ",
     kQuestion,
     kAnswer},
    {"qasper",
     128,
     Score::word_f1,
     false,
     "Answer the question about the article in as few words as you can; say \"unanswerable\" where "
     "the article does not tell, and \"yes\" or \"no\" where that is the question.\n\nArticle: ",
     kQuestion,
     kAnswer},
    {"multifieldqa_en",
     64,
     Score::word_f1,
     false,
     "Read the text and answer briefly.\n\n",
     kQuestion,
     kAnswer},
    {"multifieldqa_zh",
     64,
     Score::segmented_f1,
     false,
     "请阅读下面的文字，用中文简要地回答问题。\n\n",
     kChineseQuestion,
     kChineseAnswer},
    {"hotpotqa", 32, Score::word_f1, false, kPassages, kQuestion, kAnswer},
    {"2wikimqa", 32, Score::word_f1, false, kPassages, kQuestion, kAnswer},
    {"musique", 32, Score::word_f1, false, kPassages, kQuestion, kAnswer},
    {"dureader",
     128,
     Score::segmented_rouge_l,
     false,
     "请根据下面的文章回答问题。\n\n文章：",
     kChineseQuestion,
     kChineseAnswer},
    {"gov_report",
     512,
     Score::rouge_l,
     false,
     "Write a summary, of one page, of this report by a government agency.\n\nReport:\n",
     "\n\nThe summary of the report.",
     "\nSummary:"},
    {"qmsum",
     512,
     Score::rouge_l,
     false,
     "Answer the query about the meeting in one or more sentences.\n\nTranscript:\n",
     "\n\nQuery: ",
     kAnswer},
    {"multi_news",
     512,
     Score::rouge_l,
     false,
     "Write a summary, of one page, of all the news.\n\nNews:\n",
     "\n\nThe summary of all the news.",
     "\nSummary:"},
    {"vcsum",
     512,
     Score::segmented_rouge_l,
     false,
     "请给下面的会议记录写一段总结。\n\n会议记录：\n",
     "\n\n以上会议内容的总结。",
     "\n总结："},
    {"trec",
     64,
     Score::classes,
     true,
     "Say of what type each question is, as in the examples.\n\n",
     kExamples,
     ""},
    {"triviaqa",
     32,
     Score::word_f1,
     true,
     "Answer the question from the passage, as in the examples. Give the answer alone.\n\n",
     kExamples,
     ""},
    {"samsum",
     128,
     Score::rouge_l,
     true,
     "Summarise the dialogue in a few sentences, as in the examples.\n\n",
     kExamples,
     ""},
    {"passage_count",
     32,
     Score::number,
     false,
     "Some of these paragraphs stand here more than once. Say how many different ones there "
     "are.\n\n",
     "\n\nThe number of different paragraphs, as a number alone.",
     "\nNumber:"},
    {"passage_retrieval_en",
     32,
     Score::number,
     false,
     "Here are numbered paragraphs of an encyclopedia and a summary of one of them. Say which.\n\n",
     "\n\nSummary: ",
     "\nThe number of the paragraph, as \"Paragraph 1\":"},
    {"lsht",
     64,
     Score::classes,
     true,
     "请按照下面的例子，说出每条新闻属于哪一类。\n\n",
     kExamples,
     ""},
    {"passage_retrieval_zh",
     32,
     Score::number,
     false,
     "下面是一些带编号的段落，以及其中一段的摘要。请说出摘要写的是哪一段。\n\n",
     "\n\n摘要：",
     "\n段落的编号（如“段落1”）："},
    {"lcc", 64, Score::code, false, "Complete the code with its next line.\n", "", ""},
    {"repobench-p", 64, Score::code, false, "Complete the code with its next line.\n", "", ""},
}};

std::vector<std::string> texts_of(const JsonFields& fields, const char* name) {
  std::vector<std::string> texts;
  const Json* list = fields.find(name);
  if (list == nullptr || !list->is_array()) return texts;
  for (const Json& item : *list) {
    if (item.is_string()) texts.push_back(item.get<std::string>());
  }
  return texts;
}

LongBenchRecord record_of(std::string_view line, const std::string& where) {
  const Json json = parse_json(line, where);
  const JsonFields fields(json, where);
  LongBenchRecord record{.input = fields.string("input"),
                         .context = fields.string("context"),
                         .answers = texts_of(fields, "answers"),
                         .classes = texts_of(fields, "all_classes")};
  if (record.answers.empty()) {
    throw InputError({.where = where, .field = "answers", .what = "not a list of texts"});
  }
  return record;
}

/// Where so many code points from the beginning end.
size_t end_of(const std::string& text, size_t points) {
  size_t at = 0;
  for (; points > 0 && at < text.size(); --points) {
    at += static_cast<size_t>(code_point_at(text, at).bytes);
  }
  return at;
}

/// The context without its middle: half of `points` from its beginning, half from its end.
std::string without_middle(const std::string& context, size_t points, size_t all) {
  if (points >= all) return context;
  const size_t head = points / 2;
  return context.substr(0, end_of(context, head)) +
         context.substr(end_of(context, all - (points - head)));
}

}  // namespace

std::span<const LongBenchTask> longbench_tasks() { return kTasks; }

const LongBenchTask& find_longbench_task(const std::string& name) {
  const auto found = std::ranges::find(kTasks, name, &LongBenchTask::name);
  if (found != kTasks.end()) return *found;
  std::vector<std::string> names;
  for (const LongBenchTask& task : kTasks) names.emplace_back(task.name);
  throw InputError({.where = "--tasks",
                    .what = "unknown task",
                    .got = name,
                    .expected = fmt::format("{}", fmt::join(names, ", ")),
                    .hint = did_you_mean(name, names)});
}

std::vector<LongBenchRecord> read_longbench(const std::filesystem::path& file, int64_t most) {
  const std::string text = read_text_file(file, kMaxFileBytes);
  std::vector<LongBenchRecord> records;
  int64_t line = 0;
  for (size_t begin = 0; begin < text.size() && std::ssize(records) < most;) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view record = std::string_view(text).substr(begin, end - begin);
    ++line;
    if (record.find_first_not_of(" \t\r") != std::string_view::npos) {
      records.push_back(record_of(record, fmt::format("{}:{}", file.string(), line)));
    }
    begin = end + 1;
  }
  if (records.empty()) throw InputError({.where = file.string(), .what = "holds no record"});
  return records;
}

RulerPrompt make_longbench_prompt(const LongBenchTask& task,
                                  const LongBenchRecord& record,
                                  int64_t tokens,
                                  const CountTokens& count) {
  RulerPrompt prompt{.context = {},
                     .question = fmt::format("{}{}", task.between, record.input),
                     .answer_prefix = std::string(task.after),
                     .answers = record.answers};
  const size_t all = count_code_points(record.context);
  const auto with = [&](size_t points) {
    prompt.context = std::string(task.before) + without_middle(record.context, points, all);
    return count(prompt.text());
  };
  if (with(all) <= tokens) return prompt;
  if (const int64_t least = with(0); least > tokens) {
    throw InputError(
        {.where = "--lengths",
         .what = fmt::format("too short for a prompt of {} without its context", task.name),
         .got = fmt::format("{} tokens without the answer's", tokens),
         .expected = fmt::format("at least {}", least)});
  }
  size_t fits = 0;
  size_t exceeds = all;
  while (exceeds - fits > 1) {
    const size_t middle = fits + (exceeds - fits) / 2;
    (with(middle) <= tokens ? fits : exceeds) = middle;
  }
  with(fits);
  return prompt;
}

double longbench_score(const LongBenchTask& task,
                       const LongBenchRecord& record,
                       const std::string& answer) {
  std::string counted = answer;
  if (task.is_one_line) {
    counted.erase(0, counted.find_first_not_of('\n'));
    counted = counted.substr(0, counted.find('\n'));
  }
  double best = 0;
  for (const std::string& reference : task.needs_words() ? record.answer_words : record.answers) {
    double score = 0;
    switch (task.score) {
      case Score::word_f1:
        score = tasks::word_f1(counted, reference);
        break;
      case Score::segmented_f1:
        score = tasks::segmented_f1(counted, reference);
        break;
      case Score::rouge_l:
      case Score::segmented_rouge_l:
        score = tasks::rouge_l(counted, reference);
        break;
      case Score::classes:
        score = class_score(counted, reference, record.classes);
        break;
      case Score::number:
        score = number_score(counted, reference);
        break;
      case Score::code:
        score = code_similarity(counted, reference);
        break;
    }
    best = std::max(best, score);
  }
  return best;
}

}  // namespace dms::tasks
