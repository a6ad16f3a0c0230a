#pragma once
// A request that has been read and found good: what the engine is to compute, and how the answer
// is to look.

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "dms/llm.h"
#include "serve/answer_form.h"
#include "serve/answer_writer.h"
#include "serve/chat_format.h"
#include "serve/documents.h"
#include "serve/generation_request.h"
#include "serve/memory_reports.h"

namespace dms::serve {

/// What is served. Const functions of all parts may be called by any thread.
struct ServedModel {
  ModelFacts facts;
  Tokenizer tokenizer;
  ChatFormat chat{};
  OutJson tokenizer_info{};
  int64_t created = 0;  // seconds since 1970
};

/// What a request may name besides the model: cache options, documents. Any thread.
struct Planner {
  std::function<CachePlan(const CacheOptions&)> check;  // LLM::check()
  const Documents& documents;

  CachePlan operator()(const CacheOptions& options) const { return check(options); }
};

struct Prepared {
  std::vector<Request> requests{};  // one a prompt, without sinks
  std::unique_ptr<AnswerForm> form{};
  std::unique_ptr<AnswerWriter> writer = std::make_unique<CompletionWriter>();
  // What is found wrong with it later, in the words of its caller.
  std::function<ApiError(const ApiError&)> in_callers_words = [](const ApiError& error) {
    return error;
  };
  int64_t answers = 1;  // to each prompt
  bool stream = false;
  bool include_usage = false;
  std::optional<MemoryReports> reports{};  // where they are asked for
  EntryPointer document{};                 // that each prompt begins with; null: none
  std::optional<int64_t> slot{};           // that keeps the first answer
  std::vector<std::string> notes{};        // what is left aside of it: the client is told
};

/// All throw ApiError or InputError. They tokenize, so that long prompts take a while.
Prepared prepare_chat(std::string_view body, const ServedModel& model, const Planner& plan);
Prepared prepare_chat(ChatCompletionRequest request, const ServedModel& model, const Planner& plan);
Prepared prepare_completion(std::string_view body, const ServedModel& model, const Planner& plan);

/// Its answers are held to a form, the same for all.
bool wants_structure(const Prepared& prepared);
/// Where the form was made ready of late, it is from now on.
void find_structure(Prepared& prepared, const LLM& llm);
/// Makes the form ready, which may take a while. Throws InputError, and ApiError (503) where there
/// is no place for it, or it is given up.
void compile_structure(Prepared& prepared, const LLM& llm, const std::stop_token& given_up);

}  // namespace dms::serve
