#include "policy/turn_table.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace dms::policy {
namespace {

constexpr int64_t kDigitBits = 7;
constexpr int64_t kDigitValues = int64_t{1} << kDigitBits;
constexpr int64_t kDigits = 5;  // 2^35 positions
/// A model's two RoPEs, and those of sequences with lengths of their own.
constexpr int64_t kKeptTables = 16;

}  // namespace

TurnTable::TurnTable(const Rotation& rotation) : frequencies_(rotation.frequencies) {
  for (int64_t digit = 0; digit < kDigits; ++digit) {
    for (int64_t value = 0; value < kDigitValues; ++value) {
      const auto distance = static_cast<double>(value << (digit * kDigitBits));
      for (const float frequency : frequencies_) {
        const double angle = distance * static_cast<double>(frequency);
        cos_.push_back(static_cast<float>(std::cos(angle)));
        sin_.push_back(static_cast<float>(std::sin(angle)));
      }
    }
  }
}

void TurnTable::turn(std::span<float> x, int64_t positions) const {
  const size_t half = frequencies_.size();
  const float direction = positions < 0 ? -1.0f : 1.0f;
  float* low = x.data();
  float* high = low + half;
  int64_t rest = std::abs(positions);
  for (int64_t digit = 0; rest > 0; ++digit, rest >>= kDigitBits) {
    const int64_t value = rest & (kDigitValues - 1);
    if (value == 0) continue;
    const auto at = static_cast<size_t>(digit * kDigitValues + value) * half;
    const float* cos = cos_.data() + at;
    const float* sin = sin_.data() + at;
    for (size_t c = 0; c < half; ++c) {
      const float before = low[c];
      low[c] = cos[c] * before - direction * sin[c] * high[c];
      high[c] = cos[c] * high[c] + direction * sin[c] * before;
    }
  }
}

std::shared_ptr<const TurnTable> TurnTables::at(int64_t layer, int64_t rope_length) const {
  const std::shared_ptr<const Rotation> rotation = rotations_.at(layer, rope_length);
  const std::scoped_lock lock(mutex_);
  const auto found = std::ranges::find_if(tables_, [&](const auto& table) {
    return std::ranges::equal(table->frequencies(), rotation->frequencies);
  });
  if (found == tables_.end()) {
    tables_.insert(tables_.begin(), std::make_shared<const TurnTable>(*rotation));
    if (std::ssize(tables_) > kKeptTables) tables_.pop_back();
  } else {
    std::rotate(tables_.begin(), found, found + 1);
  }
  return tables_.front();
}

}  // namespace dms::policy
