#pragma once
// What a run will need, from its configuration alone: nothing is loaded but config.json.

#include <cstdint>
#include <string>

#include "train/config/train_config.h"

namespace dms::train {

/// Bytes on one rank, unless said otherwise.
struct Estimate {
  int64_t parameters = 0;
  int64_t trained = 0;
  int64_t weight_bytes = 0;    // student in the compute type, adapter in float32
  int64_t teacher_bytes = 0;   // a copy of its own, where the student's weights cannot serve
  int64_t gradient_bytes = 0;  // of one micro-batch, in the weights' types
  int64_t optimizer_bytes =
      0;  // float32 sums of gradients, masters, moments: of the rank that has most
  int64_t activation_bytes = 0;  // of one micro-batch, kept for the backward
  int64_t logits_bytes = 0;      // of the blocks in which the loss is taken
  int64_t total_bytes = 0;       // where the model is: the optimiser's may be in host memory
  int64_t checkpoint_bytes = 0;  // on disk, all ranks
  int64_t tokens_per_step = 0;   // all ranks, when samples are full
  double flop_per_step = 0.0;    // all ranks, products only
};

/// `ranks`: processes that share the optimiser's state. Throws InputError for a bad model folder.
Estimate estimate(const TrainConfig& config, int64_t ranks);

/// For people: one line a figure.
std::string describe(const Estimate& estimate, const TrainConfig& config);

}  // namespace dms::train
