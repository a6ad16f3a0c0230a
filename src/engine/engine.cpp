#include "engine/engine.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"

namespace dms::engine {

struct Engine::Running {
  Running(Request r, const text::Tokenizer* tokenizer)
      : request(std::move(r)), sampler(request.params), stops(request.params.stop) {
    if (tokenizer != nullptr) decoder.emplace(*tokenizer, true);
  }

  Request request;
  Sampler sampler;
  StopMatcher stops;
  std::optional<text::StreamDecoder> decoder;
  int64_t prompt_done = 0;
  std::optional<int32_t> next_token;  // sampled, not yet in the cache
  bool is_done = false;
  Generation result;

  int64_t prompt_left() const { return std::ssize(request.prompt) - prompt_done; }
};

/// What one step computes.
struct Engine::Pass {
  struct Part {
    Running* running;
    std::vector<int32_t> ids;
    bool wants_token;  // the last row's logits choose a token
  };
  std::vector<Part> parts;
  bool is_prefill = false;

  /// Throws RunError unless all of it finds memory.
  void require_memory() const {
    std::vector<cache::Growth> growth;
    for (const Part& part : parts) {
      growth.push_back(
          {.cache = &part.running->request.sequence->cache(), .tokens = std::ssize(part.ids)});
    }
    cache::require_memory(growth);
  }
};

Engine::Engine(Model& model, const text::Tokenizer* tokenizer, std::vector<int32_t> eos_ids)
    : model_(model), tokenizer_(tokenizer), eos_ids_(std::move(eos_ids)) {}

Engine::~Engine() = default;

void Engine::add(Request request) {
  if (request.prompt.empty()) {
    throw InputError(
        {.where = "prompt", .what = "is empty", .got = "0 tokens", .expected = "at least 1"});
  }
  request.sequence->check(request.prompt);
  auto running = std::make_unique<Running>(std::move(request), tokenizer_);
  running->request.sequence->begin_prompt(std::ssize(running->request.prompt));
  running->sampler.see_prompt(running->request.sequence->ids());
  running->sampler.see_prompt(running->request.prompt);
  running->result.prompt_tokens = std::ssize(running->request.prompt);
  running_.push_back(std::move(running));
}

bool Engine::is_done() const {
  return std::ranges::all_of(running_, [](const auto& running) { return running->is_done; });
}

Engine::Pass Engine::schedule() {
  Pass pass;
  for (const auto& running : running_) {
    if (running->is_done || running->prompt_left() == 0) continue;
    const int64_t count = running->request.sequence->next_chunk(running->prompt_left());
    const auto begin = running->request.prompt.begin() + running->prompt_done;
    pass.parts.push_back({.running = running.get(),
                          .ids = {begin, begin + count},
                          .wants_token = count == running->prompt_left()});
    pass.is_prefill = true;
    return pass;
  }
  for (const auto& running : running_) {
    if (running->is_done || !running->next_token) continue;
    pass.parts.push_back(
        {.running = running.get(), .ids = {*running->next_token}, .wants_token = true});
  }
  return pass;
}

void Engine::step() {
  const Pass pass = schedule();
  pass.require_memory();
  const double attention_before = model_.attention_seconds();
  const auto start = std::chrono::steady_clock::now();
  std::vector<model::Segment> segments;
  for (const Pass::Part& part : pass.parts) {
    segments.push_back(part.running->request.sequence->segment(
        part.ids, part.wants_token ? model::LogitRows::last : model::LogitRows::none));
  }
  const std::span<const float> logits = model_.forward(segments);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  for (const Pass::Part& part : pass.parts) {
    Timings& timings = part.running->result.timings;
    (pass.is_prefill ? timings.prefill_s : timings.decode_s) += seconds.count();
    (pass.is_prefill ? timings.prefill_tokens : timings.decode_tokens) += std::ssize(part.ids);
    timings.attention_s += model_.attention_seconds() - attention_before;
  }
  commit(pass, logits);
}

void Engine::commit(const Pass& pass, std::span<const float> logits) {
  const auto vocab = static_cast<size_t>(model_.vocab());
  std::vector<float> row(vocab);
  size_t row_index = 0;
  for (const Pass::Part& part : pass.parts) {
    Running& running = *part.running;
    running.request.sequence->record(part.ids);
    if (pass.is_prefill) {
      running.prompt_done += std::ssize(part.ids);
      if (running.request.on_prompt) {
        running.request.on_prompt(running.prompt_done, std::ssize(running.request.prompt));
      }
    }
    if (!part.wants_token) continue;
    std::ranges::copy(logits.subspan(row_index++ * vocab, vocab), row.begin());
    if (running.request.params.max_new_tokens == 0) {
      finish(running, "length");
    } else {
      accept(running, running.sampler.sample(row));
    }
  }
}

void Engine::accept(Running& running, int32_t token) {
  const SamplingParams& params = running.request.params;
  running.sampler.accept(token);
  running.result.ids.push_back(token);
  running.next_token = token;
  if (!params.ignore_eos && std::ranges::find(eos_ids_, token) != eos_ids_.end()) {
    finish(running, "stop");
    return;
  }
  if (running.decoder) emit(running, running.decoder->push(token));
  if (running.is_done) return;
  const bool context_full = running.request.sequence->tokens() >= model_.context();
  if (std::ssize(running.result.ids) >= params.max_new_tokens || context_full) {
    finish(running, "length");
  }
}

void Engine::emit(Running& running, std::string_view piece) {
  const StopMatcher::Result matched = running.stops.push(piece);
  running.result.text += matched.emit;
  const bool go_on =
      matched.emit.empty() || !running.request.on_text || running.request.on_text(matched.emit);
  if (matched.stopped || !go_on) finish(running, "stop");
}

void Engine::finish(Running& running, const char* reason) {
  if (running.is_done) return;
  running.is_done = true;
  running.result.finish_reason = reason;
  if (running.decoder) {
    std::string rest = running.stops.push(running.decoder->finish()).emit;
    rest += running.stops.finish();
    running.result.text += rest;
    if (!rest.empty() && running.request.on_text) running.request.on_text(rest);
  }
  running.result.kv = kv_stats(running.request.sequence->cache());
}

std::vector<Generation> Engine::take_results() {
  ensure(is_done(), "results asked for before they are there");
  std::vector<Generation> results;
  for (const auto& running : running_) results.push_back(std::move(running->result));
  running_.clear();
  return results;
}

}  // namespace dms::engine
