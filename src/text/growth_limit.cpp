#include "text/growth_limit.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>

#include "dms/error.h"

namespace dms::text {
namespace {

constexpr size_t kMaxGrowth = 16;
constexpr size_t kSlackBytes = 256;  // for a prefix before a short text
constexpr size_t kMaxBytes = std::numeric_limits<int32_t>::max();

}  // namespace

GrowthLimit::GrowthLimit(std::string_view where, size_t input_bytes)
    : where_(where),
      input_bytes_(input_bytes),
      most_(std::min(std::min(input_bytes, kMaxBytes) * kMaxGrowth + kSlackBytes, kMaxBytes)) {}

void GrowthLimit::fail(size_t size) const {
  throw InputError({.where = std::string(where_),
                    .what = "makes a text of " + std::to_string(input_bytes_) + " bytes too long",
                    .got = std::to_string(size),
                    .expected = "at most " + std::to_string(most_)});
}

}  // namespace dms::text
