#pragma once
// Steps that only decode, as CUDA graphs: all that changes between two of the same rows lies in
// device memory, so that one call launches what would take some fifteen a layer.

#include <cstdint>
#include <functional>
#include <list>
#include <memory>

#include "cuda/memory.h"
#include "cuda/step.h"

namespace dms::cuda {

class GraphCache {
 public:
  /// `is_used`: else all is launched one by one, for profilers that look at kernels.
  /// `most_rows`: of a step that decodes.
  GraphCache(bool is_used, int64_t most_rows) : is_used_(is_used), most_rows_(most_rows) {}
  GraphCache(const GraphCache&) = delete;
  ~GraphCache();

  /// Has `launch` put on the stream what `work`, whose rows all decode, takes. The first time it
  /// does: products choose their kernels then. The second time it is captured, and replayed from
  /// then on.
  void run(const StepWork& work, const Stream& stream, const std::function<void()>& launch);

  /// Where what launches read lies elsewhere from now on.
  void clear();
  /// Launches of graphs so far.
  int64_t replays() const { return replays_; }

 private:
  struct Entry {
    std::weak_ptr<const SlotBank> bank;
    FateParams fate;
    int32_t rows;
    cudaGraphExec_t graph;  // null: not captured yet
  };

  /// Null where there is none.
  Entry* find(const StepWork& work);
  void add(const StepWork& work);
  void drop(std::list<Entry>::iterator entry);
  void drop_unused();
  static cudaGraphExec_t capture(const Stream& stream, const std::function<void()>& launch);

  bool is_used_;
  int64_t most_rows_;
  std::list<Entry> entries_;  // the one used last first
  int64_t replays_ = 0;
};

}  // namespace dms::cuda
