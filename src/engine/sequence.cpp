#include "engine/sequence.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <string>

#include "base/check.h"

namespace dms::engine {
namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void add_held(const std::vector<std::vector<int64_t>>& held,
              std::vector<std::vector<int64_t>>& sum) {
  sum.resize(held.size());
  for (size_t layer = 0; layer < held.size(); ++layer) {
    sum[layer].resize(held[layer].size());
    std::ranges::transform(held[layer], sum[layer], sum[layer].begin(), std::plus());
  }
}

}  // namespace

TimedPass::TimedPass(const Model& model, Timings& timings, int64_t tokens)
    : model_(model),
      timings_(timings),
      tokens_(tokens),
      attention_before_(model.attention_seconds()),
      start_s_(now_s()) {}

TimedPass::~TimedPass() {
  const double seconds = now_s() - start_s_;
  if (tokens_ == 1) {
    timings_.decode_s += seconds;
    timings_.decode_tokens += 1;
  } else {
    timings_.prefill_s += seconds;
    timings_.prefill_tokens += tokens_;
  }
  timings_.attention_s += model_.attention_seconds() - attention_before_;
}

Sequence::Sequence(Model& model, std::unique_ptr<cache::SequenceCache> cache, int64_t chunk_tokens)
    : model_(&model), cache_(std::move(cache)), chunk_tokens_(chunk_tokens) {}

void Sequence::check(std::span<const int32_t> ids) const {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < model_->vocab()) continue;
    throw InputError({.where = "ids: element " + std::to_string(i),
                      .what = "token id out of range",
                      .got = std::to_string(ids[i]),
                      .expected = "0 to " + std::to_string(model_->vocab() - 1)});
  }
  const int64_t total = tokens() + std::ssize(ids);
  if (total > model_->context()) {
    throw InputError({.where = "prompt",
                      .what = "longer than the model's context",
                      .got = std::to_string(total) + " tokens",
                      .expected = "at most " + std::to_string(model_->context())});
  }
}

void Sequence::begin_prompt(int64_t prompt_tokens) {
  if (tokens() == 0) first_prompt_tokens_ = prompt_tokens;
}

int64_t Sequence::next_chunk(int64_t wanted) const {
  int64_t count = std::min(wanted, chunk_tokens_);
  while (count > 1 && !cache_->can_append(count)) count /= 2;
  return count;
}

model::Segment Sequence::segment(std::span<const int32_t> ids, model::LogitRows rows) {
  return {.cache = cache_.get(), .ids = ids, .logits = rows, .prompt_tokens = first_prompt_tokens_};
}

void Sequence::record(std::span<const int32_t> ids) {
  ids_.insert(ids_.end(), ids.begin(), ids.end());
}

std::span<const float> Sequence::append_chunk(std::span<const int32_t> ids, bool all_logits) {
  const std::array growth{cache::Growth{.cache = cache_.get(), .tokens = std::ssize(ids)}};
  cache::require_memory(growth);
  const TimedPass timed(*model_, timings_, std::ssize(ids));
  const std::array part{segment(ids, all_logits ? model::LogitRows::all : model::LogitRows::last)};
  const std::span<const float> logits = model_->forward(part);
  record(ids);
  return logits;
}

std::span<const float> Sequence::append(std::span<const int32_t> ids,
                                        const LogitSink& sink,
                                        const Progress& progress) {
  check(ids);
  begin_prompt(std::ssize(ids));
  return compute(ids, sink, progress);
}

std::span<const float> Sequence::compute(std::span<const int32_t> ids,
                                         const LogitSink& sink,
                                         const Progress& progress) {
  const auto vocab = static_cast<size_t>(model_->vocab());
  std::span<const float> last;
  for (int64_t done = 0; done < std::ssize(ids);) {
    const int64_t count = next_chunk(std::ssize(ids) - done);
    const auto chunk = ids.subspan(static_cast<size_t>(done), static_cast<size_t>(count));
    const std::span<const float> rows = append_chunk(chunk, static_cast<bool>(sink));
    if (sink) {
      for (int64_t i = 0; i < count; ++i) {
        sink(done + i, rows.subspan(static_cast<size_t>(i) * vocab, vocab));
      }
    }
    last = rows.last(vocab);
    done += count;
    if (progress) progress(done, std::ssize(ids));
  }
  return last;
}

void Sequence::truncate(int64_t tokens) {
  if (tokens < 0 || tokens > this->tokens()) {
    throw InputError({.where = "truncate",
                      .what = "no such length",
                      .got = std::to_string(tokens),
                      .expected = "0 to " + std::to_string(this->tokens())});
  }
  if (cache_->can_truncate(tokens)) {
    cache_->truncate(tokens);
    ids_.resize(static_cast<size_t>(tokens));
    return;
  }
  // What the next queries need is gone: compute it again, replaying the decisions taken and with
  // the first prompt's RoPE.
  const std::vector<int32_t> kept(ids_.begin(), ids_.begin() + tokens);
  cache_->restart(tokens);
  ids_.clear();
  try {
    compute(kept, {}, {});
  } catch (...) {
    cache_->truncate(this->tokens());  // others may follow, which the decisions left are not for
    throw;
  }
}

std::unique_ptr<Sequence> Sequence::fork() const {
  auto copy = std::make_unique<Sequence>(*model_, cache_->fork(), chunk_tokens_);
  copy->first_prompt_tokens_ = first_prompt_tokens_;
  copy->ids_ = ids_;
  return copy;
}

KvStats kv_stats(std::span<const cache::SequenceCache* const> caches) {
  KvStats stats;
  int64_t peak_page_bytes = 0;
  for (const cache::SequenceCache* cache : caches) {
    const cache::CacheUsage usage = cache->usage();
    stats.dense_tokens += usage.dense_tokens;
    stats.held_tokens += usage.held_tokens;
    stats.dense_bytes += usage.dense_bytes;
    stats.allocated_bytes += usage.allocated_bytes;
    stats.peak_bytes += usage.peak_table_bytes;
    peak_page_bytes = std::max(peak_page_bytes, usage.peak_page_bytes);
    add_held(usage.held_per_head, stats.held_per_head);
  }
  stats.peak_bytes += peak_page_bytes;
  if (stats.held_tokens > 0) {
    stats.cr = static_cast<double>(stats.dense_tokens) / static_cast<double>(stats.held_tokens);
  }
  if (stats.allocated_bytes > 0 && stats.dense_bytes > 0) {
    stats.cr_bytes =
        static_cast<double>(stats.dense_bytes) / static_cast<double>(stats.allocated_bytes);
  }
  return stats;
}

KvStats kv_stats(const cache::SequenceCache& cache) {
  const std::array<const cache::SequenceCache*, 1> caches{&cache};
  return kv_stats(caches);
}

}  // namespace dms::engine
