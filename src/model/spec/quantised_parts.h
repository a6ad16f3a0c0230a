#pragma once
// The tensors of one quantised weight, looked up and checked.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/spec/quantised_weight.h"

namespace dms {

class QuantisedParts {
 public:
  QuantisedParts(const TensorFiles& files, const WeightName& weight);

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }

  /// The tensor PREFIX + `suffix` where it is there; its type must be one of `types`.
  std::optional<LocatedTensor> find(std::string_view suffix,
                                    std::initializer_list<std::string_view> types) const;
  /// The same, and of `shape`. Throws InputError where it is missing or has another.
  LocatedTensor get(std::string_view suffix,
                    std::initializer_list<std::string_view> types,
                    std::span<const int64_t> shape) const;

  /// Columns that share a scale, where a row has `groups` of them in the tensor PREFIX + `suffix`.
  int64_t group_size(std::string_view suffix, int64_t groups) const;
  /// A tensor that says which group each column belongs to: the columns must be in order.
  void check_order(std::string_view suffix, int64_t group) const;
  void check_finite(std::string_view suffix, std::span<const float> scales) const;

  std::string where(std::string_view suffix) const;

 private:
  const TensorFiles* files_;
  std::string prefix_;  // the weight's name without "weight"
  int64_t rows_;
  int64_t columns_;
};

/// Bytes of the tensor from byte `offset` on.
void read_bytes(const LocatedTensor& tensor, int64_t offset, std::span<std::byte> out);

/// Of a sequence of fields of `bits` each, packed from the low end: number `index`.
inline uint8_t field_at(std::span<const uint8_t> bytes, int64_t index, int64_t bits) {
  if (bits == 8) return bytes[static_cast<size_t>(index)];
  const uint8_t byte = bytes[static_cast<size_t>(index / 2)];
  return index % 2 == 0 ? byte & 15 : byte >> 4;
}

/// The two ways such weights lie in files: rows of codes (compressed-tensors), or turned (GPTQ and
/// AWQ). Nothing where no codes are stored.
std::unique_ptr<QuantisedWeight> open_row_codes(QuantisedParts parts);
std::unique_ptr<QuantisedWeight> open_turned_codes(QuantisedParts parts, const Quantisation& how);

}  // namespace dms
