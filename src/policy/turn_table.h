#pragma once
// Turns of a head's channels by any number of positions, without a sine for each: angles are put
// together from those of the distance's digits.

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "policy/policy.h"

namespace dms::policy {

class TurnTable {
 public:
  explicit TurnTable(const Rotation& rotation);
  /// Turns one head, [head_dim], onwards by so many positions, or back. Lengths stay.
  void turn(std::span<float> x, int64_t positions) const;
  std::span<const float> frequencies() const { return frequencies_; }

 private:
  std::vector<float> frequencies_;  // [half]
  std::vector<float> cos_;          // [digits of a distance, values of a digit, half]
  std::vector<float> sin_;
};

/// Those of a model's layers, made when first asked for: one for all its sequences. Thread-safe.
class TurnTables {
 public:
  explicit TurnTables(Rotations rotations) : rotations_(std::move(rotations)) {}
  std::shared_ptr<const TurnTable> at(int64_t layer, int64_t rope_length) const;

 private:
  Rotations rotations_;
  mutable std::mutex mutex_;
  mutable std::vector<std::shared_ptr<const TurnTable>> tables_;  // the one asked for last first
};

}  // namespace dms::policy
