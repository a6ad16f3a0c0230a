#pragma once
// The engine's model by a PlainDecoder: no pages, no kernels of ours, the shortest way to keep
// every promise of engine/model.h. Its sequences hold everything, so that a policy costs no memory
// less; what goes beyond `rollback_tokens` back it computes again all the same, to replay fates.

#include <memory>

#include "engine/model.h"
#include "support/plain_decoder.h"

namespace dms::testing_support {

struct PlainModelOptions {
  int64_t memory_bytes = 0;      // keys and values of all sequences together; 0: no limit
  int64_t rollback_tokens = 32;  // that can be taken back without computing anything again
};

class PlainModel final : public engine::Model {
 public:
  PlainModel(const ModelSpec& spec, const WeightSource& source, PlainModelOptions options = {});

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
  double attention_seconds() const override { return 0; }
  KvStats usage(std::span<const engine::SequenceState* const> sequences) const override;

 private:
  class State;
  struct Memory;

  int64_t bytes_after(std::span<const engine::Part> parts) const;
  void check_room(int64_t tokens) const;

  PlainDecoder decoder_;
  PlainModelOptions options_;
  std::shared_ptr<Memory> memory_;  // shared with the sequences
  Floats logits_;
};

}  // namespace dms::testing_support
