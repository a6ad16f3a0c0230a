#pragma once
// A weight's numbers some rows at a time, so that no copy of it is ever whole in memory.

#include <functional>
#include <span>

#include "model/spec/weights.h"

namespace dms {

/// Calls `take` with float32 [rows, columns] for neighbouring rows in order, 4 MiB at a time.
/// Throws what the source throws.
void for_each_piece(const WeightName& weight,
                    const WeightSource& source,
                    const std::function<void(std::span<const float> rows)>& take);

/// A scale shared with an infinity or a NaN says nothing of the other weights: throws InputError
/// naming the tensor where one of `values` is either.
void require_quantisable(const WeightName& weight, std::span<const float> values);

}  // namespace dms
