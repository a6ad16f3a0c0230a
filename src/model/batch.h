#pragma once
// The rows of one pass: every segment's tokens one after another, and what each row belongs to.

#include <cstdint>
#include <span>
#include <vector>

#include "model/decoder.h"

namespace dms::model {

struct BatchSegment {
  const Segment* segment = nullptr;
  int64_t first_row = 0;
  int64_t rows = 0;
  int64_t first_position = 0;
};

struct Batch {
  explicit Batch(std::span<const Segment> parts) {
    for (const Segment& part : parts) {
      const auto count = std::ssize(part.ids);
      const int64_t position = part.cache->tokens();
      segments.push_back(
          {.segment = &part, .first_row = rows, .rows = count, .first_position = position});
      needs_decision_logits |= part.cache->policy().needs().decision_logits;
      shifts_positions |= part.cache->policy().far_position(0).has_value();
      for (int64_t i = 0; i < count; ++i) {
        row_segment.push_back(&part);
        row_token.push_back(part.ids[static_cast<size_t>(i)]);
        row_position.push_back(position + i);
        const bool wants_logits =
            part.logits == LogitRows::all || (part.logits == LogitRows::last && i == count - 1);
        if (wants_logits) logit_rows.push_back(rows + i);
      }
      rows += count;
    }
  }

  int64_t rows = 0;
  bool shifts_positions = false;
  bool needs_decision_logits = false;
  std::vector<BatchSegment> segments;
  std::vector<const Segment*> row_segment;  // [rows]
  std::vector<int32_t> row_token;           // [rows]
  std::vector<int64_t> row_position;        // [rows]
  std::vector<int64_t> logit_rows;          // rows whose logits are wanted
  const LayerWeights* layer_weights = nullptr;
};

inline int64_t qkv_width(const ModelSpec& spec) {
  return (spec.q_heads + 2 * spec.kv_heads) * spec.head_dim;
}

}  // namespace dms::model
