#pragma once
// The engine's model on a CUDA device: the decoder over compact caches whose pages, fates and
// counts live there. A pass is one step (or several, where its sequences' options differ), and
// waits for the device once: for logits and for what the caches have grown by. Engine thread only,
// but for plan().

#include <memory>
#include <vector>

#include "cpu/options.h"
#include "cuda/cuda_sequence.h"
#include "cuda/graph_cache.h"
#include "cuda/kv_store.h"
#include "cuda/pass.h"
#include "cuda/step.h"
#include "cuda/weights.h"
#include "engine/model.h"

namespace dms::cuda {

/// What a CudaModel is made with beside a model's own options.
struct CudaModelOptions {
  int64_t kv_bytes = 0;  // of the arena; 0: most of what is free on the device
  std::unique_ptr<Matmul> matmul{};
  AttendPrompt attend_prompt = prefill_attention;
  bool uses_graphs = true;                          // as GraphCache's
  MatrixFormat weight_format = MatrixFormat::bf16;  // these and the sum tell weights apart in
  uint32_t weight_sum = 0;                          // fingerprint()
  int32_t attention_blocks = 0;                     // as StepLimits'
};

class CudaModel final : public engine::Model {
 public:
  /// Throws RunError where the device has no room.
  CudaModel(ModelSpec spec,
            DeviceWeights weights,
            const cpu::ResolvedModelOptions& options,
            CudaModelOptions device);
  ~CudaModel() override;

  int64_t vocab() const override { return spec().vocab; }
  int64_t context() const override { return spec().context; }
  int64_t length_border(int64_t length) const override;
  std::shared_ptr<const engine::SequencePlan> plan(const CacheOptions& options) const override;
  std::unique_ptr<engine::SequenceState> new_sequence(
      std::shared_ptr<const engine::SequencePlan> plan) override;
  std::unique_ptr<engine::SequenceState> read_sequence(
      std::shared_ptr<const engine::SequencePlan> plan, ByteReader& in, int64_t tokens) override;
  std::string fingerprint() const override;
  bool reserve(std::span<const engine::Part> parts) override;
  engine::KvMemory memory() const override;
  bool can_place(std::span<const engine::Expectation> expected) const override;
  MemoryShortage shortage(std::span<const engine::Part> parts) const override;
  std::span<const float> forward(std::span<const engine::Part> parts) override;
  /// 0: it would take events in every layer, and those a place in the graph.
  double attention_seconds() const override { return 0; }
  KvStats usage(std::span<const engine::SequenceState* const> sequences) const override;

  const ModelSpec& spec() const { return spec_; }
  Step& step() { return step_; }
  const GraphCache& graphs() const { return graphs_; }
  const Stream& stream() const { return *stream_; }
  KvStore& store() { return *store_; }
  /// Gives sequences of one bank, no more than it has slots, what the next tokens of each take, and
  /// slots. `decoded`: those of each by so many steps, else by one. Throws RunError where it does
  /// not fit.
  void seat(std::span<CudaSequence* const> sequences,
            std::span<const int64_t> counts,
            bool decoded);
  /// Waits for the device and learns what sequences of one bank have grown by.
  void learn(std::span<CudaSequence* const> sequences);
  /// In the place of learn() where a step failed: pages that the device took are given back. The
  /// sequences must be restarted.
  void take_in_failure(SlotBank& bank);

 private:
  void run(PassStep& step);
  void compute(const StepWork& work);
  void fetch_logits(const PassStep& step);

  ModelSpec spec_;
  DeviceWeights weights_;
  MatrixFormat weight_format_;
  uint32_t weight_sum_;
  cpu::ResolvedModelOptions options_;
  std::unique_ptr<Matmul> matmul_;
  std::shared_ptr<const Stream> stream_;
  Step step_;
  std::shared_ptr<KvStore> store_;  // shared with the sequences
  GraphCache graphs_;
  PinnedBuffer logits_;  // of the last pass
  int64_t clock_ = 0;    // counts steps
};

}  // namespace dms::cuda
