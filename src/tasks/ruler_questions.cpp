// RULER's questions about documents, with documents of other questions around those that answer.

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "tasks/ruler_draft.h"

namespace dms::tasks {
namespace {

/// The documents in the order in which they are taken: those that answer, those of the same
/// article, all others.
std::vector<size_t> draw_order(const QuestionSet& set, const Question& question, Random& random) {
  std::vector<size_t> order = question.documents;
  const auto append = [&order](std::vector<size_t> documents) {
    for (const size_t document : documents) {
      if (std::ranges::find(order, document) == order.end()) order.push_back(document);
    }
  };
  std::vector<size_t> related = question.related;
  shuffle(std::span(related), random);
  append(std::move(related));
  std::vector<size_t> others(set.documents.size());
  std::iota(others.begin(), others.end(), size_t{0});
  shuffle(std::span(others), random);
  const std::vector<size_t> first = order;
  for (const size_t document : others) {
    if (std::ranges::find(first, document) == first.end()) order.push_back(document);
  }
  return order;
}

std::string listed(const QuestionSet& set, std::vector<size_t> documents, Random random) {
  shuffle(std::span(documents), random);
  std::string text;
  for (size_t i = 0; i < documents.size(); ++i) {
    text +=
        fmt::format("{}Document {}:\n{}", i == 0 ? "" : "\n\n", i + 1, set.documents[documents[i]]);
  }
  return text;
}

}  // namespace

RulerDraft draft_questions(const QuestionSet& set, int64_t index, Random random) {
  const Question& question = set.questions[static_cast<size_t>(index % std::ssize(set.questions))];
  auto order = std::make_shared<const std::vector<size_t>>(draw_order(set, question, random));
  return {.least = std::ssize(question.documents),
          .most = std::ssize(*order),
          .write = [&set, &question, order, random](int64_t documents) {
            constexpr const char* kTask =
                "Answer the question based on the given documents. Only give me the answer and do "
                "not output any other words.\n\n";
            return RulerPrompt{
                .context =
                    fmt::format("{}The following are given documents.\n\n{}\n\n",
                                kTask,
                                listed(set, {order->begin(), order->begin() + documents}, random)),
                .question = fmt::format("{}Question: {}", kTask, question.text),
                .answer_prefix = " Answer:",
                .answers = question.answers};
          }};
}

}  // namespace dms::tasks
