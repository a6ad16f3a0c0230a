#pragma once
// The engine's model on a CPU: the decoder over compact caches of one set of pools. Engine thread
// only, but for plan().

#include <memory>

#include "cache/sequence_cache.h"
#include "cpu/options.h"
#include "engine/model.h"
#include "model/decoder.h"

namespace dms::cpu {

/// CacheOptions for a model of `spec`: what CpuModel::plan() makes, without weights. `turns`: as of
/// make_policy(). Throws InputError.
std::shared_ptr<const engine::SequencePlan> make_plan(
    const ModelSpec& spec,
    const ResolvedModelOptions& model,
    const CacheOptions& options,
    std::shared_ptr<const policy::TurnTables> turns);
std::shared_ptr<const engine::SequencePlan> make_plan(const ModelSpec& spec,
                                                      const ResolvedModelOptions& model,
                                                      const CacheOptions& options);

class CpuModel final : public engine::Model {
 public:
  CpuModel(ModelSpec spec, model::DecoderWeights weights, const ResolvedModelOptions& options);

  int64_t vocab() const override { return decoder_.spec().vocab; }
  int64_t context() const override { return decoder_.spec().context; }
  int64_t length_border(int64_t length) const override;
  std::shared_ptr<const engine::SequencePlan> plan(const CacheOptions& options) const override;
  std::unique_ptr<engine::SequenceState> new_sequence(
      std::shared_ptr<const engine::SequencePlan> plan) override;
  std::unique_ptr<engine::SequenceState> read_sequence(
      std::shared_ptr<const engine::SequencePlan> plan, ByteReader& in, int64_t tokens) override;
  std::string fingerprint() const override;
  bool reserve(std::span<const engine::Part> parts) override;
  engine::KvMemory memory() const override;
  MemoryShortage shortage(std::span<const engine::Part> parts) const override;
  std::span<const float> forward(std::span<const engine::Part> parts) override;
  double attention_seconds() const override { return decoder_.attention_seconds(); }
  /// Shows what the layers' products multiply, from the next pass on.
  void watch(model::InputWatcher watcher) { decoder_.watch(std::move(watcher)); }
  /// Shows what layers append to caches, from the next pass on.
  void watch_chunks(model::ChunkWatcher watcher) { decoder_.watch_chunks(std::move(watcher)); }
  const model::DecoderWeights& weights() const { return decoder_.weights(); }
  KvStats usage(std::span<const engine::SequenceState* const> sequences) const override;

 private:
  std::unique_ptr<cache::SequenceCache> new_cache(const engine::SequencePlan& plan);
  std::vector<cache::Growth> growth_of(std::span<const engine::Part> parts) const;
  /// Has the model repeat a prompt that has ended, where its policy's plan waits for that.
  void replay(const engine::Part& part);

  ResolvedModelOptions options_;
  model::Decoder decoder_;
  std::shared_ptr<const policy::TurnTables> turns_;
  std::shared_ptr<cache::CachePools> pools_;  // shared with the sequences
  std::vector<float> logits_;                 // of a pass whose prompts were repeated after it
};

}  // namespace dms::cpu
