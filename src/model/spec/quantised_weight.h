#pragma once
// One weight that a folder stores as codes, scales and zero points, in tensors of their own.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/spec/tensor_files.h"
#include "model/spec/weights.h"

namespace dms {

/// Thread-safe after construction.
class QuantisedWeight {
 public:
  virtual ~QuantisedWeight() = default;

  virtual const CodeGroups& groups() const = 0;
  /// Rows [first, first + count). Throws InputError where a scale is not finite, RunError where a
  /// file has been cut short.
  virtual void read(int64_t first, int64_t count, const CodeRows& out) const = 0;
};

/// Names of the tensors that hold such a weight, or could.
std::vector<std::string> quantised_names(const WeightName& weight, QuantMethod method);

/// Nothing where no codes are stored for the weight. Throws InputError naming file and tensor where
/// one that belongs to them is missing, or has a wrong shape or type.
std::unique_ptr<QuantisedWeight> open_quantised(const TensorFiles& files,
                                                const WeightName& weight,
                                                const Quantisation& how);

}  // namespace dms
