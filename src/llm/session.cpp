// One conversation over one cache: each call is a request to the engine, run to its end.

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/output_file.h"
#include "llm/core.h"
#include "llm/request_run.h"
#include "llm/session_file.h"

namespace dms {
namespace {

/// Throws what ended the request before its work was done.
void require_success(const Generation& result) {
  if (result.finish_reason == "error") throw RunError({.what = result.error});
}

}  // namespace

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

int64_t Session::tokens() const { return state_->sequence->tokens(); }
std::span<const int32_t> Session::ids() const { return state_->sequence->ids(); }
int64_t Session::max_tokens() const { return state_->sequence->max_tokens(); }

std::span<const float> Session::append(std::span<const int32_t> ids, const Progress& progress) {
  std::vector<float>& logits = state_->logits;
  logits.clear();
  append_rows(
      ids,
      false,
      [&logits](int64_t, std::span<const float> row) { logits.assign(row.begin(), row.end()); },
      progress);
  return logits;
}

void Session::append_scored(
    std::span<const int32_t> ids,
    const std::function<void(int64_t token, std::span<const float> row)>& sink,
    const Progress& progress) {
  append_rows(ids, true, sink, progress);
}

void Session::append_rows(
    std::span<const int32_t> ids,
    bool all_rows,
    const std::function<void(int64_t token, std::span<const float> row)>& sink,
    const Progress& progress) {
  state_->core->enter();
  engine::Submission submission{
      .request = {.prompt = {ids.begin(), ids.end()}, .sampling = {.max_new_tokens = 0}},
      .sequence = state_->sequence,
      .prompt_logits = all_rows ? engine::LogitRows::all : engine::LogitRows::last,
      .on_logits = sink};
  require_success(RequestRun(*state_->core->engine, std::move(submission), {}, progress).finish());
}

void Session::truncate(int64_t tokens, const Progress& progress) {
  if (state_->sequence->is_busy) {
    throw InputError(
        {.where = "session", .what = "is at work on a prompt and cannot be truncated"});
  }
  state_->sequence->truncate(tokens);
  if (!state_->sequence->missing().empty()) append_rows({}, false, {}, progress);
}

int64_t Session::reusable_tokens(std::span<const int32_t> ids) const {
  const engine::Sequence& sequence = *state_->sequence;
  const std::span<const int32_t> held = sequence.ids();
  const int64_t common = std::ranges::mismatch(held, ids).in1 - held.begin();
  const int64_t reusable = std::min(common, std::max<int64_t>(std::ssize(ids) - 1, 0));
  if (state_->core->model->plan(state_->options)->shares_prefixes()) return reusable;
  return sequence.before_prompt_at(reusable);
}

Session Session::fork() const {
  return Session(std::make_unique<State>(State{.core = state_->core,
                                               .options = state_->options,
                                               .sequence = state_->sequence->fork(),
                                               .logits = {}}));
}

void Session::save(const std::filesystem::path& file) {
  if (!state_->sequence->missing().empty()) append_rows({}, false, {}, {});
  const engine::Sequence& sequence = *state_->sequence;
  write_text_file(
      file,
      llm::session_bytes(
          state_->core->fingerprint, llm::head_of(state_->options, kv(), sequence), sequence)
          .data());
}

Generation Session::generate(std::span<const int32_t> prompt,
                             const SamplingParams& params,
                             const TextSink& on_text,
                             const Progress& progress) {
  state_->core->enter();
  engine::Submission submission{
      .request = {.prompt = {prompt.begin(), prompt.end()}, .sampling = params},
      .sequence = state_->sequence};
  return RequestRun(*state_->core->engine, std::move(submission), on_text, progress).finish();
}

RequestId Session::submit(Request request) {
  if (request.document || request.keeps_document) {
    throw InputError({.field = "document", .what = "goes with requests without a session"});
  }
  if (request.answers != 1) {
    throw InputError({.field = "answers",
                      .what = "a session takes one",
                      .got = std::to_string(request.answers),
                      .expected = "1",
                      .hint = "fork it for more"});
  }
  return state_->core->engine->submit(
      {.request = std::move(request), .sequence = state_->sequence});
}

KvStats Session::kv() const {
  const std::array<const engine::SequenceState*, 1> states{&state_->sequence->state()};
  return state_->core->model->usage(states);
}

std::vector<uint8_t> Session::decisions() const { return state_->sequence->state().decisions(); }
const Timings& Session::timings() const { return state_->sequence->timings(); }

}  // namespace dms
