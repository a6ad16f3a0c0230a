#pragma once
// Fits a small network to rows by AdamW, beginning as a linear fit: GELU(a) - GELU(-a) = a, so that
// two hidden units for each target are that fit exactly. Rows that the descent does not see say
// when to stop, and so by their measure the network is never worse than the linear fit.

#include <cstdint>

#include "llm/mlp.h"
#include "llm/regression_rows.h"

namespace dms::llm {

struct MlpSettings {
  int64_t width = 0;    // at least two units for each target
  uint64_t seed = 0;    // of the other units' beginning and of the rows' order
  int64_t passes = 15;  // over the rows, at most
};

/// `start`: a linear fit of the same rows, not of `stopping`. The same bits for the same arguments,
/// whatever the number of the caller's threads, all of which it uses. Throws std::logic_error
/// unless both have rows.
Mlp fit_mlp(const RegressionRows& rows,
            const RegressionRows& stopping,
            const LinearFit& start,
            const MlpSettings& settings);

}  // namespace dms::llm
