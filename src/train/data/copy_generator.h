#pragma once
// `kind: copy`: a passage, some other tokens, the passage again: teaches attention to find and
// repeat what came before. Settings beside the common ones:
//   passage_tokens [min, max]  ([32, 128])
//   gap_tokens     [min, max]  ([0, 64])    between two copies
//   repeats        [min, max]  ([1, 1])     copies after the first
//   max_tokens     (max_length)             passages shrink until a document fits
//   random_tokens  (false)                  uniform tokens of the vocabulary instead of the
//   source's loss           all | repeat             repeat: tokens of the copies, but for the
//   first of each,
//                                           which nothing announces

#include <memory>

#include "train/data/generator.h"

namespace dms::train::data {

std::unique_ptr<Generator> make_copy_generator(const GeneratorContext& context);

}  // namespace dms::train::data
