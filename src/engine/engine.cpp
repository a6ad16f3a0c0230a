#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "engine/prompt_check.h"

namespace dms::engine {
namespace {

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

}  // namespace

/// What one step computes.
struct Engine::Pass {
  std::vector<Running*> owners;
  std::vector<Running::Work> work;
  std::vector<Part> parts;

  bool is_empty() const { return parts.empty(); }
  void add(Running& running, const Running::Work& what) {
    owners.push_back(&running);
    work.push_back(what);
    parts.push_back({.sequence = &running.sequence().state(),
                     .ids = what.ids,
                     .logits = what.logits,
                     .length = running.sequence().length(),
                     .ended_prompt = what.ended_prompt});
  }
  void pop() {
    owners.pop_back();
    work.pop_back();
    parts.pop_back();
  }
};

Engine::Engine(Model& model, Vocabulary vocabulary, EngineOptions options)
    : model_(model), vocabulary_(std::move(vocabulary)), options_(options) {
  options_.chunk_tokens = std::min(options_.chunk_tokens, options_.max_step_tokens);
}

Engine::~Engine() = default;

void Engine::check_submission(const Submission& submission, int64_t max_tokens) const {
  const Request& request = submission.request;
  const Room room{.tokens = submission.sequence ? submission.sequence->tokens() : 0,
                  .max_tokens = max_tokens,
                  .vocab = model_.vocab()};
  const bool may_be_empty = submission.sequence && request.sampling.max_new_tokens == 0;
  may_be_empty ? check_ids(request.prompt, room) : check_prompt(request.prompt, room);
}

RequestId Engine::submit(Submission submission) {
  const std::shared_ptr<Sequence> sequence = submission.sequence;
  std::shared_ptr<const SequencePlan> plan;
  if (!sequence) plan = model_.plan(submission.request.cache);
  check_submission(submission, sequence ? sequence->max_tokens() : plan->max_tokens());
  if (sequence && sequence->is_busy) {
    throw InputError({.where = "session", .what = "is at work on another prompt already"});
  }
  const std::lock_guard lock(mutex_);
  const RequestId id = next_id_++;
  inbox_.push_back(
      std::make_unique<Running>(id, std::move(submission), std::move(plan), vocabulary_));
  if (sequence) sequence->is_busy = true;
  something_to_do_.notify_all();
  return id;
}

void Engine::cancel(RequestId id) {
  const std::lock_guard lock(mutex_);
  cancelled_.insert(id);
  something_to_do_.notify_all();
}

void Engine::wait() {
  std::unique_lock lock(mutex_);
  const auto is_something_to_do = [&] {
    return has_requests_ || !inbox_.empty() || !cancelled_.empty();
  };
  something_to_do_.wait(lock, [&] { return is_something_to_do() || is_stopped_; });
  if (!is_something_to_do()) is_stopped_ = false;
}

void Engine::stop_waiting() {
  const std::lock_guard lock(mutex_);
  is_stopped_ = true;
  something_to_do_.notify_all();
}

bool Engine::step() {
  const Stepping stepping(is_stepping_);
  take_in();
  const Pass pass = schedule();
  if (!pass.is_empty()) {
    if (const auto logits = forward(pass)) commit(pass, *logits);
  }
  return retire();
}

/// Whether requests are left.
bool Engine::retire() {
  std::erase_if(requests_, [](const auto& running) { return running->is_done(); });
  const std::lock_guard lock(mutex_);
  has_requests_ = !requests_.empty();
  return has_requests_;
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
  for (std::unique_ptr<Running>& running : fresh) {
    const auto place = std::ranges::upper_bound(
        requests_, running->priority(), std::greater<>(), [](const auto& r) {
          return r->priority();
        });
    requests_.insert(place, std::move(running));
  }
  for (const auto& running : requests_) {
    if (cancelled.contains(running->id())) running->end(model_, "cancelled");
  }
}

/// Requests without a sequence get one while there is a place for it.
void Engine::activate_waiting() {
  int64_t active =
      std::ranges::count_if(requests_, [](const auto& running) { return running->is_active(); });
  for (const auto& running : requests_) {
    if (running->is_ready() || running->is_done()) continue;
    if (!running->is_active() && active++ >= options_.max_sequences) continue;
    running->activate(model_);
  }
}

Engine::Pass Engine::schedule() {
  activate_waiting();
  for (;;) {
    Pass pass = fill_pass();
    if (pass.is_empty() || keep_what_fits(pass)) return pass;
    give_up_newest(pass);
  }
}

Engine::Pass Engine::fill_pass() {
  Pass pass;
  std::vector<Running*> prompts;
  for (const auto& running : requests_) {
    if (!running->is_ready()) continue;
    const int64_t count = std::ssize(running->next(options_.chunk_tokens).ids);
    running->sequence().cross_border(model_, count);
    const Running::Work work = running->next(options_.chunk_tokens);
    if (work.phase == Running::Phase::decode) {
      pass.add(*running, work);
    } else {
      prompts.push_back(running.get());
    }
  }
  int64_t left = options_.max_step_tokens;
  for (Running* running : prompts) {
    const Running::Work work = running->next(options_.chunk_tokens);
    if (std::ssize(work.ids) > left) continue;
    pass.add(*running, work);
    left -= std::ssize(work.ids);
  }
  return pass;
}

/// At the memory limit prompts come in smaller pieces, and who finds no room waits. False: nobody
/// finds any.
bool Engine::keep_what_fits(Pass& pass) {
  if (model_.reserve(pass.parts)) return true;
  Pass kept;
  for (size_t i = 0; i < pass.parts.size(); ++i) {
    int64_t count = std::ssize(pass.parts[i].ids);
    for (kept.add(*pass.owners[i], pass.work[i]); !model_.reserve(kept.parts);) {
      kept.pop();
      count /= 2;
      if (count == 0) break;
      kept.add(*pass.owners[i], pass.owners[i]->next(count));
    }
  }
  if (kept.is_empty()) return false;
  ensure(model_.reserve(kept.parts), "what found room has it");
  pass = std::move(kept);
  return true;
}

void Engine::give_up_newest(const Pass& wanted) {
  const auto is_wanted = [&](const auto& running) {
    return std::ranges::find(wanted.owners, running.get()) != wanted.owners.end();
  };
  const auto newest = std::find_if(requests_.rbegin(), requests_.rend(), is_wanted);
  (*newest)->fail(model_, model_.shortage(wanted.parts).what());
}

/// The wanted logits; nothing where the pass failed, and with it the requests that had a part.
std::optional<std::span<const float>> Engine::forward(const Pass& pass) {
  const double attention_before = model_.attention_seconds();
  const double start = now_s();
  std::span<const float> logits;
  try {
    logits = model_.forward(pass.parts);
  } catch (const std::exception& error) {
    for (Running* owner : pass.owners) {
      owner->sequence().recover();
      owner->fail(model_, error.what());
    }
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
    pass.owners[i]->sequence().record(pass.parts[i].ids);
  }
  for (size_t i = 0; i < pass.parts.size(); ++i) {
    const auto values = static_cast<size_t>(pass.work[i].row_count() * model_.vocab());
    pass.owners[i]->advance(model_, pass.work[i], logits.first(values));
    logits = logits.subspan(values);
  }
}

}  // namespace dms::engine
