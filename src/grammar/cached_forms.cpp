#include "grammar/cached_forms.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "dms/error.h"
#include "grammar/compiled_structure.h"
#include "grammar/field_name.h"

namespace dms::grammar {
namespace {

/// Where a form holds from, and how errors name it, is nothing of its grammar.
std::string key_of(const Structure& structure) {
  return fmt::format("{}{}{} {}",
                     static_cast<int>(structure.kind),
                     structure.refuses_unenforced,
                     structure.any_whitespace,
                     structure.text);
}

int64_t bytes_of(const std::string& key, const CompiledStructure& form) {
  return static_cast<int64_t>(2 * key.size() + form.grammar().MemorySizeBytes());
}

void require_wanted(const std::stop_token& given_up) {
  if (!given_up.stop_requested()) return;
  throw RunError({.where = "structured answer", .what = "was given up before it was ready"});
}

}  // namespace

struct CachedForms::Job {
  Structure structure;
  std::string key;
  std::string name;  // the key, and what errors name
  std::shared_ptr<const CompiledStructure> form{};
  std::exception_ptr failure{};
  bool is_done = false;
  int64_t waiters = 0;
};

struct CachedForms::State {
  struct Entry {
    std::string key;
    std::shared_ptr<const CompiledStructure> form;
  };

  State(Compile how, const Limits& most) : compile(std::move(how)), limits(most) {}

  Compile compile;
  Limits limits;
  std::mutex mutex;  // guards what follows, and the jobs
  std::condition_variable_any has_changed;
  std::list<Entry> entries;  // those asked for last come first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key;
  std::unordered_map<std::string, std::shared_ptr<Job>> under_way;
  int64_t running = 0;
  int64_t unwanted = 0;  // of them, those that nobody waits for

  bool has_place() const { return running - std::min(unwanted, limits.left) < limits.at_once; }

  std::shared_ptr<const CompiledStructure> find(const std::string& key) {
    const auto found = by_key.find(key);
    if (found == by_key.end()) return nullptr;
    entries.splice(entries.begin(), entries, found->second);
    return entries.front().form;
  }

  /// Forms grow with the states that answers come to: what they hold is looked up each time.
  void keep(const std::string& key, const std::shared_ptr<const CompiledStructure>& form) {
    const bool is_too_large = bytes_of(key, *form) > limits.bytes;  // it would drop all others
    if (is_too_large || by_key.contains(key)) return;
    entries.push_front({.key = key, .form = form});
    by_key[key] = entries.begin();
    int64_t bytes = 0;
    size_t kept = 0;
    for (const Entry& entry : entries) {
      bytes += bytes_of(entry.key, *entry.form);
      if (bytes > limits.bytes || kept == limits.forms) break;
      ++kept;
    }
    for (; entries.size() > kept; entries.pop_back()) by_key.erase(entries.back().key);
  }
};

/// Who waits for a job. The lock is held where one comes and goes.
class CachedForms::Waiter {
 public:
  Waiter(State& state, Job& job) : state_(state), job_(job) {
    if (job_.waiters++ == 0) --state_.unwanted;
  }
  ~Waiter() {
    if (--job_.waiters > 0 || job_.is_done) return;
    ++state_.unwanted;
    state_.has_changed.notify_all();
  }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

 private:
  State& state_;
  Job& job_;
};

CachedForms::CachedForms(Compile compile, const Limits& limits)
    : state_(std::make_shared<State>(std::move(compile), limits)) {}

CachedForms::~CachedForms() {
  std::unique_lock lock(state_->mutex);
  state_->has_changed.wait_for(lock, std::chrono::milliseconds(state_->limits.compile_ms), [&] {
    return state_->running == 0;
  });
}

void CachedForms::run(const std::shared_ptr<State>& state, const std::shared_ptr<Job>& job) {
  std::shared_ptr<const CompiledStructure> form;
  std::exception_ptr failure;
  try {
    form = state->compile(job->structure);
  } catch (...) {
    failure = std::current_exception();
  }
  const std::lock_guard lock(state->mutex);
  if (form) state->keep(job->key, form);
  job->form = std::move(form);
  job->failure = std::move(failure);
  job->is_done = true;
  --state->running;
  if (job->waiters == 0) --state->unwanted;
  state->under_way.erase(job->name);
  state->has_changed.notify_all();
}

/// Of a form that nobody is at, and nobody waits for yet. The lock is held.
std::shared_ptr<CachedForms::Job> CachedForms::begin(Job job) {
  const auto begun = std::make_shared<Job>(std::move(job));
  // It cannot be ended from outside: it is left to itself where it takes too long.
  std::thread([state = state_, begun] { run(state, begun); }).detach();
  ++state_->running;
  ++state_->unwanted;
  state_->under_way[begun->name] = begun;
  return begun;
}

std::shared_ptr<const CompiledStructure> CachedForms::find(const Structure& structure) {
  const std::string key = key_of(structure);
  const std::lock_guard lock(state_->mutex);
  return state_->find(key);
}

std::shared_ptr<const CompiledStructure> CachedForms::get(const Structure& structure,
                                                          const std::stop_token& given_up) {
  const std::string key = key_of(structure);
  const std::string name = field_name(structure) + " " + key;
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(state_->limits.compile_ms);
  std::unique_lock lock(state_->mutex);
  const bool is_served = state_->has_changed.wait_until(lock, given_up, end, [&] {
    return state_->by_key.contains(key) || state_->under_way.contains(name) || state_->has_place();
  });
  require_wanted(given_up);
  if (!is_served) {
    throw RunError({.where = "structured answer",
                    .what = "others' forms are being prepared",
                    .hint = "ask again later"});
  }
  if (auto form = state_->find(key)) return form;
  const auto found = state_->under_way.find(name);
  const std::shared_ptr<Job> job = found != state_->under_way.end()
                                       ? found->second
                                       : begin({.structure = structure, .key = key, .name = name});
  const Waiter waiter(*state_, *job);
  state_->has_changed.wait_until(lock, given_up, end, [&] { return job->is_done; });
  if (job->failure) std::rethrow_exception(job->failure);
  if (job->is_done) return job->form;
  require_wanted(given_up);
  throw InputError({.field = field_name(structure),
                    .what = "takes too long to prepare",
                    .expected = fmt::format("at most {} ms", state_->limits.compile_ms),
                    .hint = "ask for less"});
}

}  // namespace dms::grammar
