#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace dms::engine {
namespace {

// Of the limit, left free where others run: they grow.
constexpr int64_t kShareLeftFree = 32;
// Of what a preempted answer held: it comes back once another has left and there is room for more,
// not to go again at once.
constexpr double kRoomToComeBack = 1.25;
// A request that so many younger ones went before goes next, whatever its priority.
constexpr int64_t kMostOvertakers = 64;
// Of those that have not begun, whose prefixes stay.
constexpr int64_t kLookAhead = 64;

bool goes_before(const std::unique_ptr<Running>& a, const std::unique_ptr<Running>& b) {
  return a->priority() != b->priority() ? a->priority() > b->priority() : a->id() < b->id();
}

EngineOptions bounded(EngineOptions options) {
  options.chunk_tokens = std::min(options.chunk_tokens, options.max_step_tokens);
  return options;
}

}  // namespace

Scheduler::Scheduler(Model& model, EngineOptions options)
    : model_(model),
      options_(bounded(std::move(options))),
      swap_(options_.swap_bytes, options_.swap_folder),
      sharing_(model, options_.prefix_cache, options_.chunk_tokens),
      speculator_(model, options_) {}

void Scheduler::add(std::unique_ptr<Running> running) {
  running->look_at_document();
  sharing_.welcome(*running);
  const auto place = std::ranges::upper_bound(requests_, running, goes_before);
  requests_.insert(place, std::move(running));
}

bool Scheduler::holds_memory(const Running& running) const {
  return running.is_ready() && running.sequence().state().tokens() > 0;
}

bool Scheduler::is_preemptable(const Running& running) const {
  return running.is_owned() && holds_memory(running);
}

int64_t Scheduler::preemptable_count() const {
  return std::ranges::count_if(requests_, [&](const auto& r) { return is_preemptable(*r); });
}

Running* Scheduler::first_waiting() const {
  const auto first =
      std::ranges::find_if(requests_, [](const auto& running) { return running->is_waiting(); });
  return first == requests_.end() ? nullptr : first->get();
}

/// Who continues a sequence of others begins at once; the rest in their order, while there is room:
/// that nobody overtakes who waits for memory keeps large requests from starving.
void Scheduler::admit() {
  for (const auto& running : requests_) {
    if (!running->is_owned() && !running->is_ready()) running->activate(model_);
  }
  for (Running* next = first_waiting(); next != nullptr && has_room(*next);
       next = first_waiting()) {
    let_in(*next);
  }
}

void Scheduler::let_in(Running& next) {
  bool is_changed = false;
  for (const auto& other : requests_) {
    if (other->is_waiting() && other->id() < next.id()) {
      is_changed |= other->is_overtaken_for(kMostOvertakers);
    }
  }
  if (next.is_preempted()) {
    next.resume(model_);
  } else {
    next.activate(model_);
  }
  if (is_changed) {
    std::ranges::stable_sort(requests_, goes_before);
  }
}

/// What prompts under way are still expected to take.
std::vector<Expectation> Scheduler::promised() {
  std::vector<Expectation> promised;
  for (const auto& running : requests_) {
    if (!running->is_ready() || !running->is_owned() || !running->is_in_prompt()) continue;
    const int64_t there = running->sequence().state().tokens();
    const int64_t spared = sharing_.spared_tokens(*running);
    promised.push_back(
        retention_.expectation(running->plan(), std::max(there, spared), running->wanted_tokens()));
    if (spared > there) promised.back().copied_tokens = spared;
  }
  return promised;
}

/// What `next` takes, and those that were let in before it.
std::vector<Expectation> Scheduler::expected_with(const Running& next) {
  std::vector<Expectation> expected = promised();
  const int64_t spared = sharing_.spared_tokens(next);
  expected.push_back(retention_.expectation(next.plan(), spared, next.wanted_tokens()));
  expected.back().copied_tokens = spared;
  if (next.is_preempted()) expected.back().ratio *= kRoomToComeBack;
  return expected;
}

/// Whether `expected` is there to be had, and so many bytes beside it.
bool Scheduler::can_hold(std::span<const Expectation> expected, int64_t spare_bytes) const {
  const KvMemory memory = model_.memory();
  int64_t needed = spare_bytes;
  for (const Expectation& one : expected) needed += one.bytes();
  return memory.used_bytes + needed <= memory.limit_bytes && model_.can_place(expected);
}

bool Scheduler::has_room(const Running& next) {
  int64_t active = 0;
  for (const auto& running : requests_) {
    if (running->is_ready()) active += running->answers();
  }
  if (active == 0) return true;
  if (next.is_preempted() && next.preempted_at() == departures_) return false;
  if (active + next.answers() > options_.max_sequences) return false;
  const int64_t limit = model_.memory().limit_bytes;
  if (limit == 0) return true;
  const std::vector<Expectation> expected = expected_with(next);
  while (!can_hold(expected, limit / kShareLeftFree)) {
    if (!drop_unwanted_prefix()) return false;
  }
  return true;
}

/// False: there is none. Who has not begun will start from the others: to compute them again costs
/// more than to wait until an answer has left.
bool Scheduler::drop_unwanted_prefix() {
  if (sharing_.cache().size() == 0) return false;
  std::vector<Running*> next;
  for (const auto& running : requests_) {
    if (std::ssize(next) == kLookAhead) break;
    if (!running->is_done() && !running->has_begun()) next.push_back(running.get());
  }
  return sharing_.drop_unwanted(next);
}

void Scheduler::make_room(const Expectation& expected) {
  const int64_t limit = model_.memory().limit_bytes;
  if (limit == 0 || expected.bytes() > limit) return;
  while (!can_hold(std::span(&expected, 1), 0)) {
    if (!drop_unwanted_prefix() && !sharing_.drop_oldest()) return;
  }
}

Pass Scheduler::schedule() {
  admit();
  for (bool with_guesses = true;;) {
    Pass pass = fill_pass(with_guesses);
    if (pass.is_empty() || model_.reserve(pass.parts)) return pass;
    if (pass.has_drafts()) {
      with_guesses = false;
      continue;
    }
    if (drop_unwanted_prefix()) continue;
    if (keep_what_fits(pass)) return pass;
    if (sharing_.drop_oldest()) continue;
    if (!preempt_newest()) give_up_newest(pass);
  }
}

Pass Scheduler::fill_pass(bool with_guesses) {
  std::vector<Running*> answers;
  std::vector<Running*> prompts;
  for (const auto& running : requests_) {
    if (!running->is_ready()) continue;
    running->forget_guesses();
    const int64_t count = std::ssize(running->next(options_.chunk_tokens).ids);
    running->sequence().cross_border(model_, count);
    const bool is_answer = running->next(options_.chunk_tokens).phase == Running::Phase::decode;
    (is_answer ? answers : prompts).push_back(running.get());
  }
  int64_t left = options_.max_step_tokens;
  const std::vector<Running*> taken = choose_prompts(prompts, left);
  if (with_guesses) speculator_.guess(answers, options_.max_step_tokens - left, left);
  Pass pass;
  for (Running* running : answers) pass.add(*running, running->next(options_.chunk_tokens));
  for (Running* running : taken) pass.add(*running, running->next(options_.chunk_tokens));
  return pass;
}

/// Those whose next piece finds room. Which piece that is next() says once all are chosen: those
/// after them may have cut it shorter.
std::vector<Running*> Scheduler::choose_prompts(std::span<Running* const> prompts, int64_t& left) {
  std::vector<Running*> taken;
  for (size_t i = 0; i < prompts.size() && left > 0; ++i) {
    Running& running = *prompts[i];
    if (!sharing_.begin(running, prompts.first(i))) continue;
    const int64_t count = std::ssize(running.next(options_.chunk_tokens).ids);
    if (count > left) continue;
    taken.push_back(&running);
    left -= count;
  }
  return taken;
}

/// At the memory limit prompts come in smaller pieces, and who finds no room waits. False: nobody
/// finds any, or an answer under way finds none that another could make.
bool Scheduler::keep_what_fits(Pass& pass) {
  const bool another_gives_way = preemptable_count() > 1;
  Pass kept;
  for (size_t i = 0; i < pass.parts.size(); ++i) {
    int64_t count = std::ssize(pass.parts[i].ids);
    for (kept.add(*pass.owners[i], pass.work[i]); !model_.reserve(kept.parts);) {
      kept.pop();
      if (pass.work[i].phase == Running::Phase::decode && another_gives_way) return false;
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

/// False: there is at most one whose memory could be had.
bool Scheduler::preempt_newest() {
  if (preemptable_count() < 2) return false;
  const auto newest = std::find_if(requests_.rbegin(), requests_.rend(), [&](const auto& running) {
    return is_preemptable(*running);
  });
  swaps_ += (*newest)->preempt(swap_, departures_) ? 1 : 0;
  ++preemptions_;
  return true;
}

/// Whoever holds memory and finds no more does not fit alone.
void Scheduler::give_up_newest(const Pass& wanted) {
  const auto is_wanted = [&](const auto& running) {
    return std::ranges::find(wanted.owners, running.get()) != wanted.owners.end();
  };
  const auto is_wanted_holder = [&](const auto& running) {
    return is_wanted(running) && holds_memory(*running);
  };
  auto newest = std::find_if(requests_.rbegin(), requests_.rend(), is_wanted_holder);
  if (newest == requests_.rend()) {
    newest = std::find_if(requests_.rbegin(), requests_.rend(), is_wanted);
  }
  (*newest)->fail(model_, model_.shortage(wanted.parts));
}

void Scheduler::learn(const SequencePlan& plan, const Sequence& sequence) {
  if (sequence.tokens() == 0) return;
  retention_.learn(plan, sequence.tokens(), sequence.state().held_bytes());
}

void Scheduler::settle(const Pass& pass) {
  for (size_t i = 0; i < pass.parts.size(); ++i) {
    Running& running = *pass.owners[i];
    if (pass.work[i].phase != Running::Phase::prompt) continue;
    sharing_.keep_piece(running, std::ssize(pass.work[i].ids));
    if (running.is_ready() && running.is_owned() && !running.is_in_prompt()) {
      learn(running.plan(), running.sequence());
    }
    for (std::unique_ptr<Running>& branch : running.take_branches()) add(std::move(branch));
  }
}

void Scheduler::retire(const std::function<void(const Running&)>& leave) {
  for (const auto& running : requests_) {
    if (!running->is_done()) continue;
    ++departures_;
    leave(*running);
    if (const auto sequence = running->finished_sequence()) {
      learn(running->plan(), *sequence);
      sharing_.keep_answer(*running, *sequence);
    }
  }
  std::erase_if(requests_, [](const auto& running) { return running->is_done(); });
}

}  // namespace dms::engine
