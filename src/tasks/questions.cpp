#include "tasks/questions.h"

#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/json.h"
#include "dms/error.h"

namespace dms::tasks {
namespace {

/// A question whose documents are still texts.
struct Found {
  std::string text;
  std::vector<std::string> answers;
  std::vector<std::string> documents;
  std::vector<std::string> related;
};

const Json& list(const JsonFields& fields, const char* key) {
  const Json* value = fields.find(key);
  if (value != nullptr && value->is_array()) return *value;
  throw InputError({.where = fields.where(),
                    .field = key,
                    .what = "not a list",
                    .got = value == nullptr ? "nothing" : quote_json(*value),
                    .expected = "a JSON array"});
}

template <class Visit>
void for_each(const JsonFields& fields, const char* key, Visit visit) {
  size_t index = 0;
  for (const Json& item : list(fields, key)) {
    visit(JsonFields(item, fmt::format("{}: {}[{}]", fields.where(), key, index++)));
  }
}

QuestionSet numbered(const std::vector<Found>& found, const std::set<std::string>& documents) {
  QuestionSet result;
  std::map<std::string, size_t> numbers;
  for (const std::string& document : documents) {
    numbers.emplace(document, result.documents.size());
    result.documents.push_back(document);
  }
  const auto number_all = [&numbers](const std::vector<std::string>& texts) {
    std::vector<size_t> list_of;
    for (const std::string& text : texts) list_of.push_back(numbers.at(text));
    return list_of;
  };
  for (const Found& question : found) {
    result.questions.push_back({.text = question.text,
                                .answers = question.answers,
                                .documents = number_all(question.documents),
                                .related = number_all(question.related)});
  }
  return result;
}

void require_questions(const std::vector<Found>& found, const std::string& where) {
  if (!found.empty()) return;
  throw InputError({.where = where, .what = "holds no question with an answer"});
}

/// The questions of one article's paragraph; `article`: the texts of all its paragraphs.
void read_paragraph(const JsonFields& paragraph,
                    const std::vector<std::string>& article,
                    std::vector<Found>& found) {
  const std::string context = paragraph.string("context");
  for_each(paragraph, "qas", [&](const JsonFields& asked) {
    Found question{
        .text = asked.string("question"), .answers = {}, .documents = {context}, .related = {}};
    for_each(asked, "answers", [&](const JsonFields& answer) {
      question.answers.push_back(answer.string("text"));
    });
    if (asked.boolean_or("is_impossible", false) || question.answers.empty()) return;
    for (const std::string& other : article) {
      if (other != context) question.related.push_back(other);
    }
    found.push_back(std::move(question));
  });
}

/// A title and sentences to one text.
std::string hotpot_document(const Json& value, const std::string& where) {
  const bool is_pair =
      value.is_array() && value.size() == 2 && value[0].is_string() && value[1].is_array();
  std::string text = is_pair ? value[0].get<std::string>() + "\n" : "";
  for (const Json& sentence : is_pair ? value[1] : Json::array()) {
    if (sentence.is_string()) text += sentence.get<std::string>();
  }
  if (!is_pair) {
    throw InputError({.where = where,
                      .what = "not a document",
                      .got = quote_json(value),
                      .expected = "[title, [sentence, …]]"});
  }
  return text;
}

}  // namespace

QuestionSet read_squad(const std::filesystem::path& file) {
  const Json root = read_json_file(file);
  const JsonFields fields(root, file.string());
  std::vector<Found> found;
  std::set<std::string> documents;
  for_each(fields, "data", [&](const JsonFields& article) {
    std::vector<std::string> texts;
    for_each(article, "paragraphs", [&](const JsonFields& paragraph) {
      texts.push_back(paragraph.string("context"));
    });
    documents.insert(texts.begin(), texts.end());
    for_each(article, "paragraphs", [&](const JsonFields& paragraph) {
      read_paragraph(paragraph, texts, found);
    });
  });
  require_questions(found, file.string());
  return numbered(found, documents);
}

QuestionSet read_hotpot(const std::filesystem::path& file) {
  const Json root = read_json_file(file);
  if (!root.is_array()) {
    throw InputError({.where = file.string(), .what = "not a list", .expected = "a JSON array"});
  }
  std::vector<Found> found;
  std::set<std::string> documents;
  for (const Json& item : root) {
    const JsonFields fields(item, fmt::format("{}: [{}]", file.string(), found.size()));
    Found question{.text = fields.string("question"),
                   .answers = {fields.string("answer")},
                   .documents = {},
                   .related = {}};
    for (const Json& document : list(fields, "context")) {
      question.documents.push_back(hotpot_document(document, fields.where()));
    }
    documents.insert(question.documents.begin(), question.documents.end());
    found.push_back(std::move(question));
  }
  require_questions(found, file.string());
  return numbered(found, documents);
}

}  // namespace dms::tasks
