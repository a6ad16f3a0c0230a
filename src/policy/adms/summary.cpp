// Means of segments: the middle is cut into as many equal stretches as there are entries, and what
// falls into one becomes its mean. As the middle grows its stretches do, and neighbours join.

#include <algorithm>
#include <utility>

#include "policy/adms/compressor.h"

namespace dms::policy {
namespace {

class Summary final : public Compressor {
 public:
  explicit Summary(Merging merging) : merging_(std::move(merging)) {}

  cache::Digest compress(CompressRequest request) const override {
    cache::Digest digest;
    digest.dropped = request.before.dropped;
    const Points points = merging_.points(request.leaving, request.before.merged);
    if (request.budget <= 0) {
      digest.dropped += points.tokens();
      return digest;
    }
    std::vector<int32_t> segment_of;
    for (const int32_t position : points.positions) {
      const int64_t place = position - request.middle.begin;
      // Of a saved sequence that was tampered with, an entry may lie outside the middle.
      segment_of.push_back(static_cast<int32_t>(std::clamp<int64_t>(
          place * request.budget / request.middle.tokens(), 0, request.budget - 1)));
    }
    digest.merged = merging_.merge(points, segment_of, request.budget, request.middle);
    return digest;
  }

  int64_t most_merged(int64_t budget) const override { return budget; }

 private:
  Merging merging_;
};

}  // namespace

CompressorPtr summary_compressor(Merging merging) {
  return std::make_unique<Summary>(std::move(merging));
}

}  // namespace dms::policy
