#pragma once
// What tells models apart whose caches must not be mixed up: sums over the numbers that the keys
// and values of a token come from. They depend neither on threads nor on the instruction set.

#include <cstdint>

#include "model/decoder_weights.h"

namespace dms::cpu {

/// Of all that `spec` says about the computation.
uint32_t sum_of(const ModelSpec& spec);

/// Of norms, biases and eviction adapters, and of pieces from all over every matrix as it is kept:
/// training changes a matrix everywhere, and to read all of it would take seconds.
uint32_t sum_of(const model::DecoderWeights& weights);

}  // namespace dms::cpu
