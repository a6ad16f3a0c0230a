#pragma once
// Cuts a pass over parts into steps: those of sequences of one bank and one rule together, no more
// rows and sequences than a step has room for.

#include <cstdint>
#include <span>
#include <vector>

#include "cuda/cuda_sequence.h"
#include "cuda/step.h"
#include "engine/model.h"

namespace dms::cuda {

struct PassStep {
  StepWork work;
  std::vector<CudaSequence*> sequences;  // of the rows that decode, then of the prompts
  std::vector<int64_t> counts;           // tokens of each
  std::vector<int64_t> outputs;  // [work.wanted] row of the pass's logits; -1: nobody wants it
};

inline CudaSequence& sequence_of(const engine::Part& part) {
  return static_cast<CudaSequence&>(*part.sequence);
}

class Pass {
 public:
  explicit Pass(std::span<const engine::Part> parts);

  int64_t logit_rows() const { return logit_rows_; }
  /// Makes the next step; false: all are done. Sequences must have the tokens of the steps before.
  bool next(const StepLimits& limits, PassStep& step);

 private:
  struct Left {
    const engine::Part* part;
    int64_t done;          // ids that steps had
    int64_t first_output;  // of the part's logits
  };
  struct Taken {
    const Left* left;
    int64_t first;
    int64_t count;
  };

  std::vector<Taken> take(const StepLimits& limits);
  static void add(const Taken& taken, PassStep& step);

  std::vector<Left> left_;
  int64_t logit_rows_ = 0;
};

}  // namespace dms::cuda
