#pragma once
// Which weights a ModelSpec needs, and where their numbers come from.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/spec/model_spec.h"

namespace dms {

/// One weight: its tensor's name in the checkpoint and the shape it must have.
struct WeightName {
  WeightRole role;
  int64_t layer;  // -1: not in a layer
  std::string name;
  std::vector<int64_t> shape;  // [rows, columns] as nn.Linear stores it, or [columns]
};

/// Numbers in a weight: the product of its shape.
int64_t element_count(const WeightName& weight);

/// Does the weight belong to the eviction adapter?
bool is_adapter(WeightRole role);

/// Every weight `spec` needs, in the order of the forward pass. A tied head is not listed.
std::vector<WeightName> weight_names(const ModelSpec& spec);

/// Where numbers come from: a checkpoint or a generator. Thread-safe.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  /// Writes rows [first, first + count) as float32 [count, columns]; a 1-D weight is one row.
  /// Throws InputError naming file and tensor when it is missing or has another shape, RunError
  /// when its file has been cut short since it was opened.
  virtual void read_rows(const WeightName& weight,
                         int64_t first,
                         int64_t count,
                         std::span<float> out) const = 0;
};

}  // namespace dms
