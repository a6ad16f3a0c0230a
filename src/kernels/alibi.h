#pragma once
// ALiBi (Press et al. 2022): scores fall with the distance of their tokens, by a slope of each
// query head's own.

#include <cstdint>
#include <span>
#include <vector>

namespace dms::kernels {

/// How a layer's heads see distance.
struct Alibi {
  // [query heads], positive: what a token's position adds to q . k, before that is scaled; empty:
  // nothing.
  std::vector<float> slopes{};
  // Positions, and slopes times positions, are rounded to bf16: as Falcon was trained.
  bool bf16_products = false;

  bool is_used() const { return !slopes.empty(); }
};

/// What the token at `position` adds to q . k of `head` beyond what one at `origin` adds. Softmax
/// does not depend on the origin, but float32 is the more exact the nearer it is.
float alibi_bias(const Alibi& alibi, int64_t head, int64_t position, int64_t origin);

/// The same for each of `positions`.
void alibi_biases(const Alibi& alibi,
                  int64_t head,
                  int64_t origin,
                  std::span<const int32_t> positions,
                  std::span<float> out);

/// The same of `group` heads from `first_head` on, [group, positions]; empty where `alibi` is not
/// used.
std::vector<float> group_alibi_biases(const Alibi& alibi,
                                      int64_t first_head,
                                      int64_t group,
                                      int64_t origin,
                                      std::span<const int32_t> positions);

}  // namespace dms::kernels
