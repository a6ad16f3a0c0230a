#pragma once
// Logits after every token of a sequence, and their comparison.

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "support/seed.h"

namespace dms::cpu {

/// Logits after every token.
using Rows = std::vector<std::vector<float>>;

inline engine::LogitSink into(Rows& rows) {
  return
      [&rows](int64_t, std::span<const float> row) { rows.emplace_back(row.begin(), row.end()); };
}

inline void expect_rows(const Rows& rows,
                        const Rows& expected,
                        int64_t first,
                        float tolerance,
                        const std::string& how) {
  ASSERT_FALSE(rows.empty()) << how << ": nothing to compare";
  ASSERT_LE(static_cast<size_t>(first) + rows.size(), expected.size()) << how;
  float scale = 0;
  for (const auto& row : expected) {
    for (const float value : row) scale = std::max(scale, std::abs(value));
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto& want = expected[static_cast<size_t>(first) + i];
    ASSERT_EQ(rows[i].size(), want.size()) << how;
    for (size_t v = 0; v < want.size(); ++v) {
      ASSERT_NEAR(rows[i][v], want[v], tolerance * scale)
          << how << ": token " << first + static_cast<int64_t>(i) << " logit " << v << " seed "
          << testing_support::seed();
    }
  }
}

}  // namespace dms::cpu
