#pragma once
// `kind: recall`: documents that are recall tasks with their answers (tasks/recall.h): teaches
// retrieval. Settings beside the common ones:
//   min_tokens, max_tokens     (256, max_length)  lengths are log-uniform between them
//   needles        [min, max]  ([1, 4])    facts in the text, each with a key of its own
//   queries        [min, max]  ([1, 1])    facts that are asked for, at most as many as there are
//   digits         [min, max]  ([7, 7])    of a fact's number
//   uuid_share     (0)                     documents whose facts are UUIDs (RULER's single 3)
//   noise_share    (0.1)                   documents that hide them in RULER's repeated sentences
//                                          (single 1) instead of the source's text
//   loss           all | answer            answer: only the numbers and their full stops

#include <memory>

#include "train/data/generator.h"

namespace dms::train::data {

std::unique_ptr<Generator> make_recall_generator(const GeneratorContext& context);

}  // namespace dms::train::data
