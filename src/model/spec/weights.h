#pragma once
// Which weights a ModelSpec needs, and where their numbers come from.

#include <cstdint>
#include <optional>
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

/// A matrix stored as codes: number = scale * code + minimum, where scale and minimum belong to
/// `group` neighbouring columns of a row.
struct CodeGroups {
  int64_t bits = 0;         // of a code: 4 or 8
  int64_t group = 0;        // a divisor of the columns
  bool has_minima = false;  // false: every minimum is -2^(bits - 1) * scale
};

/// Rows of such a matrix.
struct CodeRows {
  std::span<uint8_t> codes;  // [rows, columns], each 0 to 2^bits - 1
  std::span<float> scales;   // [rows, columns / group]
  std::span<float> minima;   // likewise
};

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

  /// How the weight is stored, where it is stored as codes.
  virtual std::optional<CodeGroups> code_groups(const WeightName& /*weight*/) const { return {}; }

  /// Writes rows [first, first + count) of a weight that has code_groups(). Throws as read_rows(),
  /// and InputError where a scale is not finite.
  virtual void read_codes(const WeightName& weight,
                          int64_t first,
                          int64_t count,
                          const CodeRows& out) const;
};

/// The numbers of rows [first, first + count) of a weight that `source` stores as codes, as float32
/// [count, columns]. Throws as WeightSource::read_codes().
void read_decoded_rows(const WeightSource& source,
                       const WeightName& weight,
                       int64_t first,
                       int64_t count,
                       std::span<float> out);

}  // namespace dms
