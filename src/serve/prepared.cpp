#include "serve/prepared.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <limits>
#include <random>
#include <utility>

#include "serve/asked_document.h"
#include "serve/chat_form.h"
#include "serve/chat_request.h"
#include "serve/completion_form.h"
#include "serve/completion_request.h"
#include "serve/shown_tools.h"
#include "serve/tool_structure.h"

namespace dms::serve {
namespace {

constexpr int64_t kTokensBeyondContext = 1024;

AnswerHead make_head(const char* prefix, const GenerationRequest& common) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {.id = new_answer_id(prefix),
          .created = std::chrono::duration_cast<std::chrono::seconds>(now).count(),
          .model = common.model,
          .usage_in_chunks = common.stream && common.include_usage};
}

void require_length(const std::vector<int32_t>& ids, int64_t max_tokens, const char* param) {
  if (ids.empty()) throw ApiError(400, std::string(param) + ": is empty", param);
  if (std::ssize(ids) <= max_tokens) return;
  throw ApiError(400,
                 std::string(param) + ": longer than the model's context (got more than " +
                     std::to_string(max_tokens) + " tokens)",
                 param,
                 "context_length_exceeded");
}

/// Up to where the context ends; where a policy goes beyond it, at least some.
int64_t tokens_left(int64_t prompt_tokens, const CachePlan& plan, int64_t context) {
  const int64_t left = std::min(plan.max_tokens, context) - prompt_tokens;
  if (left > 0 || plan.max_tokens <= context) return std::max<int64_t>(left, 1);
  return std::min(plan.max_tokens - prompt_tokens, kTokensBeyondContext);
}

/// Without a seed of the request's own every answer is another.
void give_seed(GenerationRequest& common) {
  if (common.is_seeded) return;
  std::random_device source;
  common.sampling.seed = (static_cast<uint64_t>(source()) << 32U) | source();
}

/// A stream's are told one by one; of a whole answer's only the last.
constexpr int64_t kReportTokens = 8;

int64_t report_tokens(const GenerationRequest& common) {
  if (!common.reports_memory) return 0;
  return common.stream ? kReportTokens : std::numeric_limits<int64_t>::max();
}

/// How its answers are told, but for their form.
Prepared prepare_answer(const GenerationRequest& common,
                        const ServedModel& model,
                        int64_t choices) {
  Prepared out{.answers = common.answers,
               .stream = common.stream,
               .include_usage = common.include_usage,
               .slot = common.slot};
  if (common.reports_memory) {
    out.reports.emplace(model.tokenizer,
                        choices,
                        common.stream ? ReportLimits::of_stream(choices) : ReportLimits());
  }
  return out;
}

Request make_request(const GenerationRequest& common, std::vector<int32_t> ids) {
  return {.prompt = std::move(ids),
          .sampling = common.sampling,
          .cache = common.cache,
          .priority = common.priority,
          .answers = common.answers,
          .report_tokens = report_tokens(common)};
}

std::vector<int32_t> ids_of(const Prompt& prompt,
                            const CompletionRequest& request,
                            const Tokenizer& tokenizer,
                            int64_t max_tokens) {
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    return tokenizer.encode(*text, request.add_special_tokens, max_tokens);
  }
  return std::get<std::vector<int32_t>>(prompt);
}

EchoedPrompt echo_of(const Prompt& prompt,
                     const std::vector<int32_t>& ids,
                     const Tokenizer& tokenizer) {
  const auto* text = std::get_if<std::string>(&prompt);
  return {.text = text != nullptr ? *text : tokenizer.decode(ids, false), .first_id = ids.front()};
}

/// Nothing where calls are not looked for: no tools, no form (null), or another form that the
/// answer has.
std::optional<ToolCallOptions> tool_calls_of(const ToolRequest& tools,
                                             const ToolForm* form,
                                             const SamplingParams& sampling) {
  const bool is_held = sampling.structure.kind != Structure::Kind::none;
  if (tools.must_call() && form == nullptr) {
    throw ApiError(400,
                   "tool_choice: the chat template shows no form of calls; start the server with "
                   "--tool-parser NAME, or use auto",
                   "tool_choice");
  }
  if (tools.must_call() && is_held) {
    throw ApiError(
        400, "tool_choice: a call has no other form; leave the other out", "tool_choice");
  }
  if (tools.tools == nullptr || form == nullptr || is_held) return std::nullopt;
  return ToolCallOptions{.form = form, .tools = tools.tools, .is_parallel = tools.is_parallel};
}

void add_tokens(const std::vector<std::string_view>& words,
                const Tokenizer& tokenizer,
                std::vector<TokenTag>& tags) {
  for (const std::string_view word : words) {
    const auto id = word.empty() ? std::nullopt : special_id(tokenizer, word);
    if (id) tags.push_back({.spelling = word, .id = *id});
  }
}

/// The words of calls, and of thoughts where there may be any, that are special tokens. Those of
/// thoughts do no harm elsewhere, and forms that name the same tokens are compiled by one compiler.
std::vector<TokenTag> token_tags(const ToolForm& form, const Tokenizer& tokenizer, bool may_think) {
  std::vector<TokenTag> tags;
  for (const ToolForm* read : read_forms(form)) {
    add_tokens({read->open, read->close}, tokenizer, tags);
    add_tokens(read->words, tokenizer, tags);
  }
  if (may_think || !tags.empty()) {
    add_tokens({ReasoningSplitter::kOpen, ReasoningSplitter::kClose}, tokenizer, tags);
  }
  return tags;
}

/// Where the request demands calls, or arguments of a form.
void hold_to_tools(const ToolRequest& tools,
                   const ToolForm& form,
                   bool thinks_first,
                   const Tokenizer& tokenizer,
                   SamplingParams& sampling) {
  std::optional<Structure> structure =
      tool_structure(form, tools, thinks_first, token_tags(form, tokenizer, !tools.must_call()));
  if (!structure) return;
  if (!has_structures()) {
    if (!tools.must_call()) return;  // strict arguments are what the model makes of them
    throw ApiError(400,
                   "tool_choice: this build cannot hold answers to calls: it has no xgrammar; use "
                   "auto",
                   "tool_choice");
  }
  sampling.structure = *std::move(structure);
}

/// Nothing where the model is told of the request's tools, or there are none.
std::vector<std::string> notes_on_tools(const ToolRequest& tools, const ChatFormat& format) {
  if (tools.tools == nullptr || format.chat_template->source().find("tools") != std::string::npos) {
    return {};
  }
  return {"tools: the chat template shows the model none of them"};
}

/// Tokens that end an answer.
std::vector<int32_t> end_ids_of(const SamplingParams& sampling, const ModelFacts& model) {
  std::vector<int32_t> ids = sampling.stop_ids;
  if (!sampling.ignore_eos) std::ranges::copy(model.eos_ids, std::back_inserter(ids));
  return ids;
}

/// The document that a request names, whose options its cache has from now on; null: none.
EntryPointer find_document(GenerationRequest& common, const Planner& plan, bool is_chat) {
  EntryPointer entry = asked_document(common.document, plan.documents, is_chat);
  if (!entry) return nullptr;
  if (common.sampling.prompt_log_probabilities >= 0) {
    throw ApiError(400,
                   "dms.document: has no log-probabilities, which prompt_logprobs asks for",
                   "dms.document");
  }
  common.cache = entry->cache;
  return entry;
}

void refuse_streamed_scores(const CompletionRequest& request) {
  const bool has_scores = request.echo && request.common.sampling.log_probabilities >= 0;
  if (!request.common.stream || !has_scores) return;
  throw ApiError(400, "echo: the prompt's logprobs are not streamed; set stream to false", "echo");
}

void set_compiled(Prepared& prepared, const std::shared_ptr<const CompiledStructure>& compiled) {
  for (Request& request : prepared.requests) request.sampling.structure.compiled = compiled;
}

void refuse_slot_of_many(const CompletionRequest& request) {
  if (!request.common.slot || request.prompts.size() == 1) return;
  throw ApiError(400, "id_slot: goes with one prompt", "id_slot");
}

}  // namespace

Prepared prepare_chat(std::string_view body, const ServedModel& model, const Planner& plan) {
  return prepare_chat(parse_chat_request(body, model.facts), model, plan);
}

Prepared prepare_chat(ChatCompletionRequest request,
                      const ServedModel& model,
                      const Planner& plan) {
  GenerationRequest& common = request.common;
  const EntryPointer document = find_document(common, plan, true);
  const CachePlan cache = plan(common.cache);
  RenderedChat chat = render_after(document, request.conversation, model, cache.max_tokens);
  require_length(chat.ids, cache.max_tokens, "messages");
  const std::vector<std::string> own_stops = common.sampling.stop;
  std::ranges::copy(model.chat.stops, std::back_inserter(common.sampling.stop));
  common.sampling.max_new_tokens =
      common.max_tokens.value_or(tokens_left(std::ssize(chat.ids), cache, model.facts.context));
  give_seed(common);
  const ToolRequest& tools = request.conversation.tools;
  const bool thinks_first = opens_reasoning(chat.text);
  const ToolForm* tool_form = asked_form(model.chat.tools, request.conversation.chat);
  const auto tool_calls = tool_calls_of(tools, tool_form, common.sampling);
  if (tool_calls) {
    hold_to_tools(tools, *tool_calls->form, thinks_first, model.tokenizer, common.sampling);
  }
  // What the model thinks first has no form.
  if (thinks_first) {
    common.sampling.structure.begins_after = ReasoningSplitter::kClose;
  }
  Prepared out = prepare_answer(common, model, common.answers);
  out.document = document;
  out.notes = notes_on_tools(tools, model.chat);
  out.form = std::make_unique<ChatForm>(
      make_head("chatcmpl", common),
      TokenTexts(model.tokenizer, common.tokens_as_ids),
      common.answers,
      ChatFormOptions{.begins_inside_reasoning = thinks_first,
                      .include_reasoning = request.include_reasoning,
                      .log_probabilities = common.sampling.log_probabilities >= 0,
                      .prompt_log_probabilities = common.sampling.prompt_log_probabilities >= 0,
                      .tools = tool_calls,
                      .stops = own_stops,
                      .end_ids = end_ids_of(common.sampling, model.facts)});
  out.requests.push_back(make_request(common, std::move(chat.ids)));
  return out;
}

Prepared prepare_completion(std::string_view body, const ServedModel& model, const Planner& plan) {
  CompletionRequest request = parse_completion_request(body, model.facts);
  refuse_streamed_scores(request);
  GenerationRequest& common = request.common;
  const EntryPointer document = find_document(common, plan, false);
  refuse_slot_of_many(request);
  const CachePlan cache = plan(common.cache);
  common.sampling.max_new_tokens = *common.max_tokens;
  give_seed(common);
  CompletionFormOptions form{
      .answers = common.answers,
      .log_probabilities = common.sampling.log_probabilities >= 0,
      .prompt_log_probabilities = common.sampling.prompt_log_probabilities >= 0 && !request.echo};
  const int64_t choices = std::ssize(request.prompts) * common.answers;
  Prepared out = prepare_answer(common, model, choices);
  out.document = document;
  if (document) request.add_special_tokens = false;
  for (const Prompt& prompt : request.prompts) {
    std::vector<int32_t> ids = ids_of(prompt, request, model.tokenizer, cache.max_tokens);
    require_length(ids, cache.max_tokens, "prompt");
    if (request.echo) form.echoed.push_back(echo_of(prompt, ids, model.tokenizer));
    if (document) {
      ids.insert(ids.begin(), document->ids.begin(), document->ids.end());
      require_length(ids, cache.max_tokens, "prompt");
    }
    out.requests.push_back(make_request(common, std::move(ids)));
  }
  out.form = std::make_unique<CompletionForm>(make_head("cmpl", common),
                                              TokenTexts(model.tokenizer, common.tokens_as_ids),
                                              choices,
                                              std::move(form));
  return out;
}

bool wants_structure(const Prepared& prepared) {
  return prepared.requests.front().sampling.structure.kind != Structure::Kind::none;
}

void find_structure(Prepared& prepared, const LLM& llm) {
  if (!wants_structure(prepared)) return;
  set_compiled(prepared, llm.find_compiled(prepared.requests.front().sampling.structure));
}

void compile_structure(Prepared& prepared, const LLM& llm, const std::stop_token& given_up) {
  try {
    set_compiled(prepared, llm.compile(prepared.requests.front().sampling.structure, given_up));
  } catch (const RunError& error) {
    throw ApiError(503, error.what());  // others' forms take all places, or the server ends
  }
}

}  // namespace dms::serve
