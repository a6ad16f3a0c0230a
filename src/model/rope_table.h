#pragma once
// cos and sin of every position's rotary angles, for all scalings that ModelSpec knows. Formulas
// and float32 rounding of the angles as in transformers' modeling_rope_utils, since at long
// contexts that rounding is visible in the logits. Engine thread only.

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "model/spec/model_spec.h"

namespace dms::model {

class RopeTable {
 public:
  explicit RopeTable(const RopeSpec& rope) : rope_(rope) {}

  struct Angles {
    std::span<const float> cos;  // [rotary_dim / 2]
    std::span<const float> sin;
  };

  /// Makes positions below `positions` available. Throws nothing but std::bad_alloc.
  void prepare(int64_t prompt_tokens, int64_t positions);
  /// Valid until the next prepare(). Needs prepare() with more than `position` before.
  Angles at(int64_t prompt_tokens, int64_t position) const;

 private:
  struct Table {
    std::vector<float> frequencies;
    std::vector<float> cos;  // [positions, rotary_dim / 2]
    std::vector<float> sin;
  };
  int64_t key(int64_t prompt_tokens) const;

  RopeSpec rope_;
  std::map<int64_t, Table> tables_;  // by what the frequencies depend on
};

}  // namespace dms::model
