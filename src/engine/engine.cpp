#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "engine/prompt_check.h"
#include "engine/sampling_check.h"

namespace dms::engine {
namespace {

constexpr int64_t kStepsPerUsage = 16;

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// A step within a step would pull the requests from under the outer one.
class Stepping {
 public:
  explicit Stepping(bool& flag) : flag_(flag) {
    ensure(!flag_, "a sink called for another step");
    flag_ = true;
  }
  ~Stepping() { flag_ = false; }
  Stepping(const Stepping&) = delete;
  Stepping& operator=(const Stepping&) = delete;

 private:
  bool& flag_;
};

/// Prefixes make way for what `owner` may copy in this step: for the other answers to its prompt,
/// or to keep what it ends with. About as much as the copies would take, did they share nothing.
void make_room_to_copy(Scheduler& scheduler, const Running& owner) {
  const int64_t copies = owner.answers() - 1 + (owner.request().keeps_document ? 1 : 0);
  if (copies == 0 || !owner.is_owned()) return;
  const int64_t tokens = owner.sequence().tokens();
  if (owner.plan().copied_bytes(tokens) == 0) return;
  scheduler.make_room(
      {.plan = &owner.plan(), .to_tokens = tokens, .ratio = static_cast<double>(copies)});
}

}  // namespace

Engine::Engine(Model& model, Vocabulary vocabulary, EngineOptions options)
    : model_(model), vocabulary_(std::move(vocabulary)), scheduler_(model, std::move(options)) {
  publish_stats();
}

Engine::~Engine() = default;

void Engine::check_submission(const Submission& submission, int64_t max_tokens) const {
  const Request& request = submission.request;
  const Room room{.tokens = submission.sequence ? submission.sequence->tokens() : 0,
                  .max_tokens = max_tokens,
                  .vocab = model_.vocab()};
  const bool may_be_empty = submission.sequence && request.sampling.max_new_tokens == 0;
  may_be_empty ? check_ids(request.prompt, room) : check_prompt(request.prompt, room);
  check(request, model_.vocab());
}

/// The form of the answer, ready to be held to.
void Engine::compile(Structure& structure) const {
  if (structure.kind == Structure::Kind::none) return;
  if (vocabulary_.guides == nullptr) {
    throw InputError({.field = "structure", .what = "this model's answers are held to no form"});
  }
  if (!structure.compiled) structure.compiled = vocabulary_.guides->compile(structure, {});
  structure.text.clear();  // each answer has a copy of its parameters
}

RequestId Engine::new_id() {
  const std::lock_guard lock(mutex_);
  return next_id_++;
}

RequestId Engine::submit(Submission submission) {
  const std::shared_ptr<Sequence> sequence = submission.sequence;
  std::shared_ptr<const SequencePlan> plan;
  if (!sequence) plan = model_.plan(submission.request.cache);
  check_submission(submission, sequence ? sequence->max_tokens() : plan->max_tokens());
  if (sequence && sequence->is_busy) {
    throw InputError({.where = "session", .what = "is at work on another prompt already"});
  }
  compile(submission.request.sampling.structure);
  const RequestId id = new_id();
  auto running = std::make_unique<Running>(id, std::move(submission), std::move(plan), vocabulary_);
  const std::lock_guard lock(mutex_);
  inbox_.push_back(std::move(running));
  if (sequence) sequence->is_busy = true;
  something_to_do_.notify_all();
  return id;
}

void Engine::cancel(RequestId id) {
  const std::lock_guard lock(mutex_);
  cancelled_.insert(id);
  something_to_do_.notify_all();
}

void Engine::post(std::function<void()> call) {
  const std::lock_guard lock(mutex_);
  calls_.push_back(std::move(call));
  something_to_do_.notify_all();
}

void Engine::wait() {
  std::unique_lock lock(mutex_);
  const auto is_something_to_do = [&] {
    return has_requests_ || !inbox_.empty() || !cancelled_.empty() || !calls_.empty();
  };
  something_to_do_.wait(lock, [&] { return is_something_to_do() || is_stopped_; });
  if (!is_something_to_do()) is_stopped_ = false;
}

void Engine::stop_waiting() {
  const std::lock_guard lock(mutex_);
  is_stopped_ = true;
  something_to_do_.notify_all();
}

EngineStats Engine::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  stats.waiting += std::ssize(inbox_);
  return stats;
}

bool Engine::step() {
  const Stepping stepping(is_stepping_);
  make_calls();
  take_in();
  retire();
  const Pass pass = scheduler_.schedule();
  if (!pass.is_empty()) {
    if (const auto logits = forward(pass)) commit(pass, *logits);
  }
  const bool is_left = retire();
  publish_stats();
  return is_left;
}

/// Lets go of those that are done. Whether requests are left.
bool Engine::retire() {
  scheduler_.retire([this](const Running& running) { count(running); });
  const std::lock_guard lock(mutex_);
  has_requests_ = !scheduler_.requests().empty();
  return has_requests_;
}

void Engine::make_calls() {
  std::vector<std::function<void()>> calls;
  {
    const std::lock_guard lock(mutex_);
    std::swap(calls, calls_);
  }
  for (auto& call : calls) {
    call();
    call = {};  // what it held is free for the next
  }
}

void Engine::take_in() {
  std::vector<std::unique_ptr<Running>> fresh;
  std::set<RequestId> cancelled;
  {
    const std::lock_guard lock(mutex_);
    std::swap(fresh, inbox_);
    std::swap(cancelled, cancelled_);
    has_requests_ |= !fresh.empty();
  }
  for (std::unique_ptr<Running>& running : fresh) scheduler_.add(std::move(running));
  const auto now = std::chrono::steady_clock::now();
  for (const auto& running : scheduler_.requests()) {
    const auto& deadline = running->request().deadline;
    if (cancelled.contains(running->id())) running->end(model_, "cancelled");
    if (deadline && *deadline <= now) running->end(model_, "deadline");
  }
}

/// The wanted logits; nothing where the pass failed, and with it the requests that had a part.
std::optional<std::span<const float>> Engine::forward(const Pass& pass) {
  const double attention_before = model_.attention_seconds();
  const double start = now_s();
  std::span<const float> logits;
  for (size_t i = 0; i < pass.parts.size(); ++i) pass.owners[i]->begin(pass.work[i]);
  try {
    logits = model_.forward(pass.parts);
  } catch (const std::exception&) {
    for (Running* owner : pass.owners) owner->fail_pass(model_, std::current_exception());
    return std::nullopt;
  }
  const double seconds = now_s() - start;
  const double attention_s = model_.attention_seconds() - attention_before;
  for (size_t i = 0; i < pass.parts.size(); ++i) {
    pass.owners[i]->add_time(pass.work[i], seconds, attention_s);
  }
  return logits;
}

void Engine::commit(const Pass& pass, std::span<const float> logits) {
  // All sequences first: whatever a sampler or a sink does, tokens and cache stay in step.
  for (size_t i = 0; i < pass.parts.size(); ++i) {
    Sequence& sequence = pass.owners[i]->sequence();
    if (const std::exception_ptr failure = sequence.state().failure()) {
      pass.owners[i]->fail_pass(model_, failure);
    } else {
      sequence.record(pass.parts[i].ids);
    }
  }
  for (size_t i = 0; i < pass.parts.size(); ++i) {
    const auto values = static_cast<size_t>(pass.work[i].row_count() * model_.vocab());
    Running& owner = *pass.owners[i];
    if (!owner.is_done()) {
      make_room_to_copy(scheduler_, owner);
      owner.advance(model_, pass.work[i], logits.first(values), [&] { return is_unwanted(owner); });
    }
    logits = logits.subspan(values);
  }
  scheduler_.settle(pass);
}

/// Between the tokens of one pass as between passes.
bool Engine::is_unwanted(const Running& running) const {
  const auto& deadline = running.request().deadline;
  if (deadline && *deadline <= std::chrono::steady_clock::now()) return true;
  const std::lock_guard lock(mutex_);
  return cancelled_.contains(running.id());
}

void Engine::count(const Running& leaving) {
  const Generation& result = leaving.result();
  if (leaving.answer() == 0) {
    totals_.prompt_tokens += leaving.prompt_done();
    totals_.cached_tokens += result.cached_tokens;
  }
  totals_.generated_tokens += std::ssize(result.ids);
  totals_.drafted_tokens += result.drafted_tokens;
  totals_.accepted_tokens += result.accepted_tokens;
  totals_.dense_tokens_total += result.kv.dense_tokens;
  totals_.held_tokens_total += result.kv.held_tokens;
  totals_.finished[result.finish_reason] += leaving.answers();
}

void Engine::publish_stats() {
  EngineStats stats = totals_;
  std::vector<const SequenceState*> states;
  for (const auto& running : scheduler_.requests()) {
    stats.waiting += running->is_waiting() ? 1 : 0;
    stats.preempted += running->is_preempted() ? 1 : 0;
    if (!running->is_ready()) continue;
    ++stats.running;
    states.push_back(&running->sequence().state());
  }
  // Counting entries costs more than the rest together.
  if (states.empty() || steps_++ % kStepsPerUsage == 0) {
    try {
      usage_ = model_.usage(states);
    } catch (const std::exception&) {
      // The numbers before are as good; of what failed the requests hear.
    }
  }
  const KvMemory memory = model_.memory();
  stats.kv_limit_bytes = memory.limit_bytes;
  stats.kv_used_bytes = memory.used_bytes;
  stats.kv_peak_bytes = memory.peak_bytes;
  stats.dense_tokens = usage_.dense_tokens;
  stats.held_tokens = usage_.held_tokens;
  stats.kv_running_bytes = usage_.allocated_bytes;
  stats.swapped_bytes = scheduler_.swapped_bytes();
  stats.cached_prefixes = scheduler_.cached_prefixes();
  stats.preemptions = scheduler_.preemptions();
  stats.swaps = scheduler_.swaps();
  const std::lock_guard lock(mutex_);
  stats_ = std::move(stats);
}

}  // namespace dms::engine
