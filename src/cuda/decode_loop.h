#pragma once
// Decoding that needs nothing of the host between steps: tokens are chosen on the device, and the
// next step reads them there. For benchmarks, and as the proof that a step waits for nobody; the
// engine chooses tokens on the host, by rules that the device does not have.

#include <cstdint>
#include <span>
#include <vector>

#include "cuda/cuda_model.h"
#include "cuda/graph_cache.h"
#include "cuda/kernels/sampling.h"
#include "cuda/memory.h"

namespace dms::cuda {

class DecodeLoop {
 public:
  /// Of sequences under one plan, no more than the model's max_sequences; one row of `settings`
  /// each. All outlive it. `uses_graphs`: as GraphCache's.
  DecodeLoop(CudaModel& model,
             std::vector<CudaSequence*> sequences,
             std::span<const SamplingRow> settings,
             bool uses_graphs = true);

  /// Appends `first`, one token a sequence, and then what was chosen after each, `steps` tokens a
  /// sequence in all. Waits for the device once, at the end. Returns what was chosen, [steps,
  /// sequences]; the last ones are not in the caches yet. -1: a logit was not finite, and what came
  /// after it means nothing. Throws MemoryShortage where there is no room for all, whatever is
  /// evicted: nothing has changed then. Where it throws anything else, the sequences must be
  /// restarted.
  std::vector<int32_t> run(std::span<const int32_t> first, int32_t steps);

  const GraphCache& graphs() const { return graphs_; }

 private:
  StepWork work_of(std::span<const int32_t> first) const;
  void launch(const StepWork& work);
  void decode(std::span<const int32_t> first, int32_t steps);

  CudaModel& model_;
  std::vector<CudaSequence*> sequences_;
  GraphCache graphs_;
  DeviceBuffer settings_;   // SamplingRow [sequences]
  DeviceBuffer chosen_;     // int32 [sequences]
  DeviceBuffer workspace_;  // of sampling
  DeviceBuffer record_;     // int32: the step's number, then [steps, sequences]
};

}  // namespace dms::cuda
