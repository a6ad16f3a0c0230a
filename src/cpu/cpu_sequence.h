#pragma once
// A sequence of a CpuModel: its cache. Engine thread only.

#include <cstdint>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "cache/sequence_cache.h"
#include "engine/model.h"

namespace dms::cpu {

class CpuSequence final : public engine::SequenceState {
 public:
  explicit CpuSequence(std::unique_ptr<cache::SequenceCache> cache) : cache_(std::move(cache)) {}

  int64_t tokens() const override { return cache_->tokens(); }
  int64_t held_bytes() const override { return cache_->held_bytes(); }
  int64_t saved_bytes() const override { return cache_->saved_bytes(); }
  int64_t pass_limit() const override { return cache_->pass_limit(); }
  int64_t draft_limit() const override { return cache_->draft_limit(); }
  bool can_truncate(int64_t tokens) const override { return cache_->can_truncate(tokens); }
  void truncate(int64_t tokens) override { cache_->truncate(tokens); }
  void restart(int64_t tokens) override { cache_->restart(tokens); }
  std::exception_ptr failure() const override { return cache_->failure(); }
  std::unique_ptr<SequenceState> fork() const override {
    return std::make_unique<CpuSequence>(cache_->fork());
  }
  std::unique_ptr<SequenceState> fork_decisions() const override {
    return std::make_unique<CpuSequence>(cache_->fork_decisions());
  }
  void write(ByteWriter& out) const override { cache_->write(out); }
  std::vector<uint8_t> decisions() const override { return cache_->decisions(); }
  std::vector<int32_t> held_heads() const override { return cache_->held_heads(); }

  cache::SequenceCache& cache() { return *cache_; }
  const cache::SequenceCache& cache() const { return *cache_; }

 private:
  std::unique_ptr<cache::SequenceCache> cache_;
};

}  // namespace dms::cpu
