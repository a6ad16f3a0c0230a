#pragma once
// Structured answers by xgrammar, which this folder alone includes. A build without it refuses
// them.

#include <cstdint>
#include <memory>

#include "engine/guide.h"

namespace dms::text {
class Tokenizer;
}

namespace dms::grammar {

/// For a model with `vocab` logits. Outlives its guides. Without a tokenizer every form is refused.
std::unique_ptr<engine::GuideMaker> make_guides(std::shared_ptr<const text::Tokenizer> tokenizer,
                                                int64_t vocab);

}  // namespace dms::grammar
