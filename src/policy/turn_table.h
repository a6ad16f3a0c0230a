#pragma once
// Turns of a head's channels by any number of positions, without a sine for each: angles are put
// together from those of the distance's digits.

#include <cstdint>
#include <span>
#include <vector>

#include "policy/policy.h"

namespace dms::policy {

class TurnTable {
 public:
  explicit TurnTable(const Rotation& rotation);
  /// Turns one head, [head_dim], onwards by so many positions, or back. Lengths stay.
  void turn(std::span<float> x, int64_t positions) const;

 private:
  std::vector<float> frequencies_;  // [half]
  std::vector<float> cos_;          // [digits of a distance, values of a digit, half]
  std::vector<float> sin_;
};

}  // namespace dms::policy
