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

  /// What one sequence of a pass needs. `prompt_tokens`, its first prompt's length, may change when
  /// the sequence is computed anew.
  struct Need {
    int64_t prompt_tokens;
    int64_t positions;
  };

  /// Makes the positions below `positions` of all sequences of a pass available. Under `dynamic`
  /// each longer prompt has a table of its own: those of this pass and a few used last are kept.
  /// Throws nothing but std::bad_alloc.
  void prepare(std::span<const Need> needs);
  /// Valid until the next prepare(), which must have been asked for more than `position`.
  Angles at(int64_t prompt_tokens, int64_t position) const;

  int64_t tables() const { return std::ssize(tables_); }

 private:
  struct Table {
    int64_t last_pass = 0;
    std::vector<float> frequencies;
    std::vector<float> cos;  // [positions, rotary_dim / 2]
    std::vector<float> sin;
  };
  int64_t key(int64_t prompt_tokens) const;
  void extend(const Need& need);
  void drop_unused();

  RopeSpec rope_;
  int64_t pass_ = 0;
  std::map<int64_t, Table> tables_;  // by what the frequencies depend on
};

}  // namespace dms::model
