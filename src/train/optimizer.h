#pragma once
// AdamW and Muon over float32 masters. What goes with a weight is divided over the ranks: each
// weight has one owner, which alone holds the float32 sum of its gradients, its master and its
// moments, updates it and sends the result to the others. All that may lie in host memory instead
// of the GPU's (hf_trainer.offload_optimizer).

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "train/communicator.h"
#include "train/config/train_config.h"
#include "train/parameters.h"
#include "train/torch.h"

namespace dms::train {

struct NamedTensor {
  std::string name;
  at::Tensor value;  // float32 (float64 in float64 runs)
};

class Optimizer {
 public:
  /// Keeps references to all three.
  Optimizer(Parameters& parameters, const TrainerSection& settings, Communicator& ranks);

  /// Adds the leaves' gradients, over all ranks, to their owners' sums and clears them; call after
  /// each micro-batch.
  void accumulate();

  /// Averages the sums over `micro_batches` of each rank, clips them by their norm, and updates the
  /// weights at `lr_factor` times the learning rates. Returns the norm before clipping; when it is
  /// not finite nothing is updated.
  double step(double lr_factor, int64_t micro_batches);

  /// What this rank must save of the weights it owns: the masters, by the weights' names.
  std::vector<NamedTensor> masters() const;
  /// … and the moments: "WEIGHT.first", "WEIGHT.second".
  std::vector<NamedTensor> moments() const;

  /// The names of both, of all ranks.
  std::vector<std::string> state_names() const;

  /// Restores masters and moments from what `find` gives for each of those names (an undefined
  /// tensor: missing, which is an InputError naming it), after `steps` steps.
  void load(const std::function<at::Tensor(const std::string&)>& find, int64_t steps);

 private:
  struct Slot {
    Parameter* parameter;
    int64_t owner;
    bool uses_muon;
    // Of the owner alone, wide:
    at::Tensor sum;     // gradient
    at::Tensor master;  // the leaf itself where that is wide and in the same memory
    at::Tensor first;   // AdamW's first moment, Muon's momentum
    at::Tensor second;  // AdamW's second moment
  };

  at::Tensor over_ranks(const Slot& slot, const at::Tensor& gradient) const;
  void average(int64_t micro_batches);
  double gradient_norm();
  void update_adamw(double lr_factor);
  void update_muon(Slot& slot, double lr_factor) const;
  void publish();
  bool owns(const Slot& slot) const { return slot.owner == ranks_.rank(); }

  const TrainerSection& settings_;
  Communicator& ranks_;
  std::vector<Slot> slots_;
  int64_t steps_ = 0;
};

/// Orthogonalises a matrix by five Newton-Schulz iterations (Muon, Jordan et al. 2024).
at::Tensor orthogonalise(const at::Tensor& matrix);

}  // namespace dms::train
