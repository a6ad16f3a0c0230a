#pragma once
// How far one row of logits is from another, of the same token.

#include <span>

namespace dms::eval {

struct Divergence {
  double kld = 0;               // KL(reference || other) in nats, summed in double
  bool has_same_choice = true;  // the likeliest token is the same; of equal ones the first counts
};

/// Both [vocab]. NaN where either holds NaN.
Divergence divergence(std::span<const float> reference, std::span<const float> other);

}  // namespace dms::eval
