#pragma once
// How the part of ADMS's middle that does not stay exact becomes smaller: a compressor is one file
// and one line in adms.cpp. semantics.md section 4, items 3 and 4.

#include <cstdint>
#include <memory>
#include <string>

#include "cache/policy.h"
#include "policy/adms/merging.h"

namespace dms::policy {

/// Of one head.
struct CompressRequest {
  const cache::HeadContents& leaving;  // tokens that are exact no longer
  cache::Digest before;                // of those that left earlier
  int64_t budget = 0;                  // entries of full size that the new digest may take
  Middle middle;
};

/// Immutable; compress() may run on several threads. What goes is in the new digest: merged, in its
/// block, or counted as dropped.
class Compressor {
 public:
  virtual ~Compressor() = default;
  virtual cache::Digest compress(CompressRequest request) const = 0;
  /// Merged entries that compress() leaves at most.
  virtual int64_t most_merged(int64_t budget) const = 0;
  /// What the block takes that it leaves at most.
  virtual cache::BlockRoom most_block(int64_t /*budget*/, int64_t /*head_dim*/) const { return {}; }
};

using CompressorPtr = std::unique_ptr<const Compressor>;

CompressorPtr low_rank_compressor(int64_t rank, int64_t most_tokens);
CompressorPtr vq_compressor(Merging merging, int64_t clusters);
CompressorPtr summary_compressor(Merging merging);
/// One that was registered. Throws InputError where none of that name was.
CompressorPtr custom_compressor(Merging merging, const std::string& name);

}  // namespace dms::policy
